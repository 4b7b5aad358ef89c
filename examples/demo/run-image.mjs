// Runs one image of any registry, or the machine's own tree, with this terminal's streams. The exit code is the program's.
import { constants } from 'node:os';
import process from 'node:process';
import { runContainer } from '@ctr/runtime';
import { ms } from './show/page.mjs';
import { paint } from './show/paint.mjs';
import { pullProgress } from './show/progress.mjs';

const HOST_COMMAND = ['sh', '-c', 'echo "I am process $$ on $(hostname), and these are my files:"; ls /'];

function optionsFor(name, command) {
  // Without root the machine's own tree can be looked at; see the README of @ctr/runtime.
  if (name === 'host') return { rootfs: 'host', readOnly: process.geteuid() !== 0, command: command.length > 0 ? command : HOST_COMMAND };
  return { image: name, ...(command.length > 0 ? { command } : {}) };
}

/** 128 and the signal's number, as shells have it. */
const exitCodeOf = (status) => status.exitCode ?? 128 + (constants.signals[status.signal] ?? 0);

export async function runImage(name, command) {
  const progress = pullProgress(name);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort(signal));
  const before = performance.now();
  const container = await runContainer({
    ...optionsFor(name, command),
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'inherit',
    signal: stop.signal,
    onProgress: progress.onProgress,
  }).finally(() => progress.end());
  const started = performance.now() - before;
  const status = await container.exited;
  await container[Symbol.asyncDispose]();
  const reason = status.reason === 'exited' ? `exit code ${status.exitCode}` : status.reason;
  process.stderr.write(paint.dim(`${container.command[0]}: started after ${ms(started)}, ran ${ms(status.durationMs)}, ${reason}\n`));
  return exitCodeOf(status);
}
