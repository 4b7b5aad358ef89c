// What the kernel tests share: a parent with a random name, children to put into cgroups, steps run by hand.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync, writeSync } from 'node:fs';
import type { Arg, Step } from '@ctr/internal/steps';
import { openParent } from '../src/index.js';
import type { CgroupParent } from '../src/parent/parent.js';

/** Not "ctr…": tests of other packages that look for leftovers of that name may run beside us. */
export const randomName = (): string => `cgtest-${randomBytes(6).toString('hex')}`;

/** Opens a parent of a random name, and removes it after the work. */
export async function withParent<T>(work: (parent: CgroupParent) => Promise<T>): Promise<T> {
  const parent = await openParent(randomName());
  try {
    return await work(parent);
  } finally {
    await parent.remove();
  }
}

/** The text of a control file. */
export const text = (directory: string | undefined, file: string): string => readFileSync(`${directory}/${file}`, 'utf8').trim();

const children = new Set<ChildProcess>();

/** Starts a program; it is killed by `endChildren` at the latest. */
export function start(command: string, args: string[] = []): ChildProcess & { pid: number } {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  children.add(child);
  child.once('exit', () => children.delete(child));
  if (child.pid === undefined) throw new Error(`${command} did not start`);
  return child as ChildProcess & { pid: number };
}

/** A shell that runs `script` once a line is written to it: time to put it into a cgroup. */
export function startWaiting(script: string): ChildProcess & { pid: number; go(): void } {
  const child = start('sh', ['-c', `read go; ${script}`]);
  return Object.assign(child, { go: () => void child.stdin?.end('\n') });
}

export async function exitOf(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  return { code: child.exitCode, signal: child.signalCode };
}

/** For afterEach: nothing that a test started outlives it. */
export async function endChildren(): Promise<void> {
  for (const child of [...children]) {
    child.kill('SIGKILL');
    await exitOf(child);
  }
}

const plain = (a: Arg | undefined): string | number => {
  if (typeof a === 'object' && a !== null && 'value' in a) return Number(a.value);
  return a as string | number;
};

function removeGroups(directory: string): void {
  for (const e of readdirSync(directory, { withFileTypes: true })) if (e.isDirectory()) removeGroups(`${directory}/${e.name}`);
  rmdirSync(directory);
}

/** Runs steps as the launcher does, with its slots, by Node's own calls of the same name. */
export class StepRunner {
  readonly slots = new Map<string, number>();
  readonly files = new Map<string, string>();

  run(steps: readonly Step[]): void {
    for (const step of steps) {
      try {
        this.#one(step);
      } catch (error) {
        if (!step.allow?.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
      }
    }
  }

  close(): void {
    for (const fd of this.slots.values()) closeSync(fd);
    this.slots.clear();
  }

  #slot(a: Arg | undefined): number {
    const fd = this.slots.get((a as { slot: string }).slot);
    if (fd === undefined) throw new Error('an empty slot');
    return fd;
  }

  #one({ call, args, into }: Step): void {
    const [a, b, c] = args;
    if (call === 'mkdirat') mkdirSync(plain(b) as string, plain(c));
    else if (call === 'openat') this.slots.set(into ?? '', openSync(plain(b) as string, plain(c)));
    else if (call === 'write') writeSync(this.#slot(a), b as string);
    else if (call === 'unlinkat') rmdirSync(plain(b) as string);
    else if (call === 'remove_tree') removeGroups(plain(a) as string);
    else if (call === 'report_file') this.#report(plain(a) as string);
    else if (call === 'close') {
      closeSync(this.#slot(a));
      this.slots.delete((a as { slot: string }).slot);
    } else throw new Error(`no such step: ${call}`);
  }

  #report(file: string): void {
    if (existsSync(file)) this.files.set(file, readFileSync(file, 'utf8'));
  }
}
