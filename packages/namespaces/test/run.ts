// Runs a program to its end and keeps what it said; the ways in which most tests are run.
import { text } from 'node:stream/consumers';
import { type LeakCheck, type LeakCheckOptions, leakCheck } from '@ctr/internal/testing';
import { type ContainerProcess, type EnterOptions, enter, type ProcessExit, type SpawnOptions, spawn } from '../src/index.js';

export const ENV = { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin' };
export const asRoot = process.getuid?.() === 0;

export interface Ran {
  exitCode: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
  exit: ProcessExit;
}

/** Waits for the end of a process and of its output. */
export async function finished(p: ContainerProcess): Promise<Ran> {
  const [stdout, stderr, exit] = await Promise.all([p.stdout ? text(p.stdout) : '', p.stderr ? text(p.stderr) : '', p.exited, p.cleaned]);
  return { exitCode: exit.exitCode, signal: exit.signal, stdout, stderr, exit };
}

export const run = async (o: SpawnOptions): Promise<Ran> => finished(await spawn({ env: ENV, ...o }));

export const runInside = async (target: ContainerProcess | number, o: EnterOptions): Promise<Ran> =>
  finished(await enter(target, { env: ENV, ...o }));

/** A shell line; what it prints, without the last newline. Fails when the shell does. */
export async function shell(line: string, o: Partial<SpawnOptions> = {}): Promise<string> {
  const r = await run({ args: ['/bin/sh', '-c', line], ...o });
  if (r.exitCode !== 0) throw new Error(`${line}\nended with ${r.exitCode ?? r.signal}: ${r.stdout}${r.stderr}`);
  return r.stdout.replace(/\n$/, '');
}

/** The two ways to be allowed anything: being root, and a user namespace; an ordinary user has the second only. */
export const WAYS: readonly { way: string; user: 'new' | 'host' }[] = [
  ...(asRoot ? [{ way: 'as root', user: 'host' } as const] : []),
  { way: asRoot ? 'as root in a user namespace' : 'as an ordinary user in a user namespace', user: 'new' },
];

/**
 * What this process may leave: processes and descriptors. Control groups, mounts, links and orphans are left out, since
 * the tests of other packages make them at the same time; whoever kills a Node watches its descendants instead.
 */
export const leaks = (o: LeakCheckOptions = {}): LeakCheck =>
  leakCheck({ ignore: /^(control group|temporary|link|mount) |esbuild|child of 1\)$/, ...o });

/** The message of what a promise is rejected with, without the numbers that differ from run to run. */
export async function messageOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (e) {
    return (e as Error).message;
  }
  return 'nothing was thrown';
}
