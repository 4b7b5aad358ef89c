// In worker threads, several at once, and when a thread ends in the middle: same results, no warning of Node's.
import { spawnSync } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import type { Task } from './harness.js';
import { mountsHere } from './needs.js';
import { harnessProgram, openTempDir } from './run-harness.js';
import { archive, file } from './tar-builder.js';
import { isRoot, names } from './trees.js';

/** Runs each task in a thread of one process; all are terminated after `endsAfter` milliseconds, when given. */
async function inThreads(tasks: readonly Task[], endsAfter?: number): Promise<{ out: string; err: string }> {
  const program = `
    import { Worker } from 'node:worker_threads';
    for (const task of ${JSON.stringify(tasks)}) {
      const worker = new Worker(${JSON.stringify(await harnessProgram())}, { argv: [JSON.stringify(task)] });
      if (${endsAfter} !== undefined) setTimeout(() => worker.terminate(), ${endsAfter});
    }`;
  const started = path.join(openTempDir('start'), 'start.mjs');
  writeFileSync(started, program);
  const run = spawnSync(process.execPath, [started], { encoding: 'utf8', timeout: 60_000 });
  expect(run, run.stderr).toMatchObject({ status: 0, signal: null });
  return { out: run.stdout, err: run.stderr };
}

function layerTasks(entries: number, op: 'extract' | 'pipeline' = 'extract'): { tasks: Task[]; directories: string[] } {
  const work = openTempDir('threads');
  const tar = path.join(work, 'a.tar');
  writeFileSync(tar, archive(...Array.from({ length: entries }, (_, i) => file(`f${i}`))));
  const directories = [0, 1, 2].map((i) => path.join(work, `fs${i}`));
  return { tasks: directories.map((directory) => ({ op, tar, directory, userxattr: !isRoot })), directories };
}

const n = need('linux');
describe.skipIf(!n.ok)(n.title('in worker threads'), () => {
  it('layers are written', async () => {
    const { tasks, directories } = layerTasks(50);
    const { out, err } = await inThreads(tasks);
    expect(err).toBe('');
    expect(out.match(/"entries":50/g)).toHaveLength(3);
    for (const d of directories) expect(names(d)).toHaveLength(50);
  });

  it('layers are written over further threads', async () => {
    const { tasks, directories } = layerTasks(50, 'pipeline');
    const { out, err } = await inThreads(tasks);
    expect(err).toBe('');
    expect(out.match(/"entries":50/g)).toHaveLength(3);
    for (const d of directories) expect(names(d)).toHaveLength(50);
  });

  for (const op of ['extract', 'pipeline'] as const)
    it(`a thread that ends in the middle takes nothing down (${op})`, async () => {
      const { tasks, directories } = layerTasks(op === 'extract' ? 20_000 : 5_000, op);
      for (const after of op === 'extract' ? [120] : [60, 120]) expect((await inThreads(tasks, after)).err).toBe('');
      for (const d of directories) expect(readdirSync(path.dirname(d))).toContain('a.tar');
    });
});

describe.skipIf(!mountsHere.ok)(mountsHere.title('in worker threads, as root'), () => {
  it('overlays are mounted and let go', async () => {
    const lower = openTempDir('lower');
    writeFileSync(path.join(lower, 'f'), 'x');
    const task: Task = { op: 'overlay', form: 'steps', options: { lower: [lower] }, actions: [['readdirSync', '']] };
    const { out, err } = await inThreads([task, task]);
    expect(err).toBe('');
    expect(out.match(/\[\["f"\]\]/g)).toHaveLength(2);
  });
});
