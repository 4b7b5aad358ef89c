// Where the three streams go: what the launcher is told, and what is pumped here afterwards.
import { Readable, Writable } from 'node:stream';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import { isatty } from 'node:tty';
import { Fd } from '@ctr/internal/fd';
import type { ContainerProcess, Stdio } from '@ctr/namespaces';
import type { ExecSpec } from './options/run-schema.js';

type StreamSpec = Pick<ExecSpec, 'stdin' | 'stdout' | 'stderr' | 'input' | 'tty'>;

export interface StdioPlan {
  readonly stdio: readonly [Stdio, Stdio, Stdio];
  /** Which of the streams are the caller's to use; the others are null or pumped. */
  readonly open: readonly [boolean, boolean, boolean];
  /** Joins the process's pipes with the caller's streams; returns what lets them go. */
  connect(process: ContainerProcess): () => void;
}

/**
 * SECURITY: a terminal is never passed on: a program that holds it could put commands into its input (TIOCSTI,
 * CVE-2017-5226). Its bytes are copied through a pipe.
 */
const inherited = (n: number): Stdio => (isatty(n) ? 'pipe' : 'inherit');

function place(option: unknown, n: number, fallback: Stdio): Stdio {
  if (option === undefined) return fallback;
  if (option === 'pipe' || option === 'ignore') return option;
  if (option === 'inherit') return inherited(n);
  return Fd.is(option) ? option : 'pipe';
}

const isStream = (option: unknown): option is object => typeof option === 'object' && option !== null && !Fd.is(option);

const OWN = [() => process.stdin, () => process.stdout, () => process.stderr] as const;

function source(option: unknown): Readable | undefined {
  if (option === 'inherit') return OWN[0]();
  if (!isStream(option)) return undefined;
  return 'getReader' in option ? Readable.fromWeb(option as ReadableStream) : (option as Readable);
}

function target(option: unknown, n: 1 | 2): Writable | undefined {
  if (option === 'inherit') return OWN[n]();
  if (!isStream(option)) return undefined;
  return 'getWriter' in option ? Writable.fromWeb(option as WritableStream) : (option as Writable);
}

function feed(spec: StreamSpec, process: ContainerProcess): () => void {
  const from = source(spec.stdin);
  if (spec.input === undefined && from === undefined) return () => {};
  const { stdin } = process;
  if (stdin === null) return () => {};
  if (spec.input !== undefined) stdin.end(spec.input);
  if (from === undefined) return () => {};
  from.pipe(stdin);
  return () => {
    from.unpipe(stdin);
    // A reading process.stdin would keep Node alive after the container is gone.
    if (from === OWN[0]()) from.pause();
  };
}

/** Copies output. The caller's stream is not ended: it may be process.stdout, or take the other stream too. */
function pump(process: ContainerProcess, name: 'stdout' | 'stderr', to: Writable | undefined): void {
  // A stream costs more than a start may: none is made before somebody looks at it.
  const from = to === undefined ? null : process[name];
  if (from === null || to === undefined) return;
  from.pipe(to, { end: false });
  // A target that was closed must not hold up the program.
  to.once('close', () => from.resume());
}

/** This process's own terminal passes keys on as they are typed, and its size. */
function joinOwnTerminal(process: ContainerProcess): () => void {
  const [keys, screen] = [OWN[0](), OWN[1]()];
  const { tty } = process;
  if (tty === null || !keys.isTTY || !screen.isTTY) return () => {};
  const fit = (): void => tty.resize(screen.columns, screen.rows);
  const wasRaw = keys.isRaw;
  keys.setRawMode(true);
  fit();
  screen.on('resize', fit);
  return () => {
    screen.off('resize', fit);
    keys.setRawMode(wasRaw);
  };
}

/** With a terminal there is one stream each way, and somebody must read it, or the program stops when a few KiB wait. */
function planTerminal(spec: StreamSpec): StdioPlan {
  return {
    stdio: ['ignore', 'ignore', 'ignore'],
    open: [spec.stdin === undefined || spec.stdin === 'pipe', (spec.stdout ?? 'pipe') === 'pipe', false],
    connect(process) {
      if (spec.stdout === 'ignore') process.tty?.resume();
      else pump(process, 'stdout', target(spec.stdout, 1));
      const release = spec.stdin === 'inherit' && spec.stdout === 'inherit' ? joinOwnTerminal(process) : () => {};
      const disconnect = feed(spec, process);
      return () => {
        disconnect();
        release();
      };
    },
  };
}

export function planStdio(spec: StreamSpec): StdioPlan {
  if (spec.tty) return planTerminal(spec);
  const stdio = [
    place(spec.stdin, 0, spec.input === undefined ? 'ignore' : 'pipe'),
    place(spec.stdout, 1, 'pipe'),
    place(spec.stderr, 2, 'pipe'),
  ] as const;
  return {
    stdio,
    open: [spec.stdin === 'pipe' && spec.input === undefined, (spec.stdout ?? 'pipe') === 'pipe', (spec.stderr ?? 'pipe') === 'pipe'],
    connect(process) {
      if (stdio[1] === 'pipe') pump(process, 'stdout', target(spec.stdout, 1));
      if (stdio[2] === 'pipe') pump(process, 'stderr', target(spec.stderr, 2));
      return stdio[0] === 'pipe' ? feed(spec, process) : () => {};
    },
  };
}
