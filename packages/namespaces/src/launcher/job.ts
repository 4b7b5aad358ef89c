// What the launcher knows of one plan on its way: who waits for what.
import type { AbortError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import type { PlanSource } from '../plan/plan-source.js';
import type { HintSource } from './start-error.js';

/** How a process ended. */
export interface ProcessExit {
  /** The exit code; `null` when a signal ended it. */
  exitCode: number | null;
  /** The signal's name; `null` when it exited by itself. */
  signal: string | null;
  usage: {
    /** CPU time in user mode, milliseconds, of the process and the children it waited for. */
    cpuUserMs: number;
    /** CPU time in the kernel, milliseconds. */
    cpuSystemMs: number;
    /** The largest resident set, bytes. */
    maxRssBytes: number;
  };
  /** What the plan's `collect` steps read after the death, by path. */
  files: ReadonlyMap<string, string>;
}

/** What a launched process tells its owner. */
export interface Launched {
  /** The number of its plan at the launcher. */
  id: number;
  pid: number;
  /** Closed by the receiver once the process has ended. */
  pidfd: Fd;
  exited: Promise<ProcessExit>;
  cleaned: Promise<void>;
}

export interface Resolvers<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
}

export interface Job {
  readonly source: PlanSource;
  readonly hints: HintSource;
  readonly kind: 'launch' | 'hold';
  /** The start was given up; what it ends with is told by this. */
  givenUp?: AbortError;
  /** Started or held, and not yet cleaned up. */
  live: boolean;
  pidfd?: Fd;
  /** Its pid, once it waits for its program; of a launch that does. */
  readonly parked?: Resolvers<number>;
  /** True while it does not keep Node's event loop alive. */
  idle?: boolean;
  readonly started: Resolvers<Launched | undefined>;
  readonly exited: Resolvers<ProcessExit>;
  readonly cleaned: Resolvers<void>;
}

export function withResolvers<T>(): Resolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  // Whoever cares attaches a handler of their own; a clean-up error nobody looks at must not end the program.
  promise.catch(() => {});
  return { promise, resolve, reject };
}

export const newJob = (source: PlanSource, hints: HintSource, kind: Job['kind'], parked?: Resolvers<number>): Job => ({
  source,
  hints,
  kind,
  live: false,
  ...(parked === undefined ? {} : { parked }),
  started: withResolvers(),
  exited: withResolvers(),
  cleaned: withResolvers(),
});
