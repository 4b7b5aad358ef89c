// Runs to the end and keeps what was written, up to a limit.
import type { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { branded, CtrError } from '@ctr/internal/errors';
import type { RunningProcess } from './running-process.js';

export const DEFAULT_MAX_BUFFER = 16 * 2 ** 20;

/** After the end somebody else inside may still hold a pipe open; this long is waited for its last words. */
const LINGER_MS = 1000;

/** The output was longer than `maxBuffer`; the program was killed. Code CTR_MAX_BUFFER. */
export class MaxBufferError extends CtrError {
  readonly stream: 'stdout' | 'stderr';
  /** In bytes. */
  readonly limit: number;
  /** What was kept of that stream. */
  readonly output: Buffer;

  constructor(command: readonly string[], stream: 'stdout' | 'stderr', limit: number, output: Buffer) {
    super('CTR_MAX_BUFFER', `run ${JSON.stringify(command[0])}: ${stream} is longer than ${limit} bytes`, {
      hint: 'raise "maxBuffer", or read the stream piece by piece',
    });
    this.stream = stream;
    this.limit = limit;
    this.output = output;
  }
}
branded(MaxBufferError, 'MaxBufferError');

export interface Output {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

interface Gathered {
  /** Its end. */
  readonly done: Promise<void>;
  /** Bytes that came, kept or not. */
  size(): number;
  buffer(): Buffer;
}

/** Reads all; beyond the limit it calls `overflow` once and reads on without keeping, so that nothing blocks. */
function gather(stream: Readable | null, limit: number, overflow: (kept: Buffer) => void): Gathered {
  const chunks: Buffer[] = [];
  let size = 0;
  const done = new Promise<void>((resolve) => {
    if (stream === null) return resolve();
    stream.on('data', (chunk: Buffer) => {
      const before = size;
      size += chunk.length;
      if (before > limit) return;
      chunks.push(size > limit ? chunk.subarray(0, chunk.length - (size - limit)) : chunk);
      if (size > limit) overflow(Buffer.concat(chunks));
    });
    stream.once('close', resolve);
    // What was read until then counts; the end of the process tells the rest.
    stream.once('error', () => resolve());
  });
  return { done, size: () => size, buffer: () => Buffer.concat(chunks) };
}

/** Waits for `work`, which never fails, but not longer than this: false when the time was over first. */
function atMost(ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, false);
    void work.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

/**
 * Reads what is in the pipes. The time above may be over before the loop has looked at them once, on a machine that has no processor to give:
 * one turn without a byte says that they are empty. Whoever writes without end is not waited for.
 */
async function drain(streams: readonly Gathered[]): Promise<void> {
  const size = (): number => streams.reduce((sum, s) => sum + s.size(), 0);
  const first = size();
  let before: number;
  do {
    before = size();
    // From one of these to the next the loop has looked at every descriptor.
    await turn();
    await turn();
  } while (size() !== before && size() - first <= DEFAULT_MAX_BUFFER);
}

/** Resolves after the end of the process and of its streams. @throws {MaxBufferError} */
export async function collectOutput(running: RunningProcess, limit: number): Promise<Output> {
  let failure: MaxBufferError | undefined;
  const overflow =
    (stream: 'stdout' | 'stderr') =>
    (kept: Buffer): void => {
      failure ??= new MaxBufferError(running.command, stream, limit, kept);
      running.kill('SIGKILL');
    };
  const stdout = gather(running.stdout, limit, overflow('stdout'));
  const stderr = gather(running.stderr, limit, overflow('stderr'));
  await running.exited;
  if (!(await atMost(LINGER_MS, Promise.all([stdout.done, stderr.done])))) await drain([stdout, stderr]);
  running.closeStreams();
  if (failure !== undefined) throw failure;
  return { stdout: stdout.buffer(), stderr: stderr.buffer() };
}
