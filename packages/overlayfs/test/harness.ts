// A program for the tests: does one thing with this package in whatever namespaces it was started, and prints JSON.
// It is bundled by run-harness.ts and started through unshare(1) and setpriv(1).
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { loadAddon } from '@ctr/internal/native';
import { describeFallback } from '../src/describe-fallback.js';
import {
  describeBindRoot,
  describeHostRoot,
  describeOverlay,
  type OverlayOptions,
  openLayerPipeline,
  openLayerWriter,
  removeTree,
} from '../src/index.js';
import type { StepBinding } from '../src/native.js';
import { checkOverlay } from '../src/overlay-options.js';
import { runSteps } from '../src/run-steps.js';

/** What to do inside of a mount: a function of node:fs, a path below the mount's root, and its further arguments. */
export type Action = readonly [
  call: 'readdirSync' | 'readFileSync' | 'writeFileSync' | 'unlinkSync' | 'mkdirSync' | 'rmdirSync' | 'chmodSync' | 'mode',
  path: string,
  ...rest: unknown[],
];

export type Task =
  | { op: 'overlay'; options: OverlayOptions; form: 'steps' | 'fallback'; actions: readonly Action[] }
  | { op: 'bind'; directory: string; readOnly: boolean; actions: readonly Action[] }
  | { op: 'host'; userxattr: boolean; actions: readonly Action[] }
  | { op: 'extract'; tar: string; directory: string; userxattr: boolean }
  | { op: 'pipeline'; tar: string; directory: string; userxattr: boolean }
  | { op: 'remove'; directory: string }
  | { op: 'deepen'; directory: string; levels: number };

function act(root: string, [call, at, ...rest]: Action): unknown {
  const target = path.join(root, at);
  try {
    if (call === 'mode') return (fs.statSync(target).mode & 0o7777).toString(8);
    const result = (fs[call] as (...args: unknown[]) => unknown)(target, ...rest);
    return Buffer.isBuffer(result) ? result.toString() : Array.isArray(result) ? result.sort() : (result ?? 'done');
  } catch (e) {
    return (e as NodeJS.ErrnoException).code;
  }
}

async function mounted(steps: Parameters<typeof runSteps>[1], slot: string, actions: readonly Action[]): Promise<unknown> {
  const before = fs.readFileSync('/proc/self/mountinfo', 'utf8');
  const native = loadAddon<StepBinding>(fileURLToPath(new URL('../native/', import.meta.url)), 'ctr_overlayfs');
  using fd = await runSteps(native, steps, slot);
  const results = actions.map((a) => act(`/proc/self/fd/${fd.fd}`, a));
  return {
    results,
    mountsChanged: fs.readFileSync('/proc/self/mountinfo', 'utf8').length - before.length,
    descriptors: fs.readdirSync('/proc/self/fd').length,
  };
}

async function run(task: Task): Promise<unknown> {
  switch (task.op) {
    case 'overlay': {
      const steps = task.form === 'steps' ? describeOverlay(task.options).steps : describeFallback(checkOverlay(task.options), 'overlay');
      return mounted(steps, 'overlay', task.actions);
    }
    case 'bind': {
      const { steps, slot } = describeBindRoot(task.directory, { readOnly: task.readOnly });
      return mounted(steps, slot, task.actions);
    }
    case 'host': {
      const { steps, slot } = describeHostRoot({ userxattr: task.userxattr, size: 2 ** 24 });
      return mounted(steps, slot, task.actions);
    }
    case 'extract': {
      const writer = openLayerWriter(task.directory, { userxattr: task.userxattr });
      await writer.write(fs.readFileSync(task.tar));
      return writer.end();
    }
    case 'pipeline': {
      const pipeline = openLayerPipeline(task.directory, { userxattr: task.userxattr, sync: false });
      const bytes = fs.readFileSync(task.tar);
      for (let at = 0; at < bytes.length; at += 100_000) await pipeline.write(bytes.subarray(at, at + 100_000));
      return pipeline.end();
    }
    case 'remove':
      return removeTree(task.directory);
    case 'deepen':
      // Step by step: no call takes a path of this length.
      process.chdir(task.directory);
      for (let i = 0; i < task.levels; i++) {
        fs.mkdirSync('d');
        process.chdir('d');
      }
      return fs.writeFileSync('f', '');
  }
}

const task = JSON.parse(process.argv[2] ?? '') as Task;
const outcome = await run(task).then(
  (value) => ({ value }),
  (e: NodeJS.ErrnoException) => ({ error: { code: e.code, message: e.message } }),
);
process.stdout.write(JSON.stringify(outcome));
