// How a process ended: the truth about why, what it used, and what it wrote.
import { type CgroupDirectories, parseCollected } from '@ctr/cgroups';
import { AbortError, branded, CtrError } from '@ctr/internal/errors';
import type { ProcessExit } from '@ctr/namespaces';

/**
 * Why it ended. 'oom': the kernel killed it, or the process it waited for, at the memory limit. 'timeout', 'aborted',
 * 'stopped': killed from here, by `timeout`, by `signal` or by disposal, by stop(). 'signaled': by any other signal.
 */
export type ExitReason = 'exited' | 'signaled' | 'oom' | 'timeout' | 'aborted' | 'stopped';

/** What it used. Values that this host does not count are `null`. */
export interface Usage {
  /** CPU time of the first process and its waited-for children, in user mode. */
  readonly cpuUserMs: number;
  readonly cpuSystemMs: number;
  /** Largest resident set of a single process. */
  readonly maxRssBytes: number;
  /** CPU time of everything in the container. */
  readonly cpuMs: number | null;
  /** Most memory that the container held at once. */
  readonly memoryPeakBytes: number | null;
  /** How long the CPU limit held it back. */
  readonly throttledMs: number | null;
  /** Most processes and threads at once. */
  readonly pidsPeak: number | null;
  /** How often a fork was refused by the limit of processes. */
  readonly pidsLimitHits: number | null;
}

/** How a process ended. */
export interface ExitStatus {
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  /** `null` when it ended by itself. */
  readonly signal: string | null;
  readonly reason: ExitReason;
  /** Whether the kernel killed any process of the container at its memory limit. */
  readonly oomKilled: boolean;
  /** When the program began. */
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly usage: Usage;
}

/** {@link ExitStatus} and the output, of `result()`. */
export interface ContainerResult extends ExitStatus {
  /** True when it exited with 0. */
  readonly ok: boolean;
  /** Decoded by `encoding`; empty when the stream was no pipe. */
  readonly stdout: string;
  readonly stderr: string;
  readonly command: readonly string[];
  /** Failures of the clean-up; `undefined` when nothing is left on the host. */
  readonly cleanup?: readonly Error[];
  /** Returns this, or throws when it did not exit with 0. @throws {ContainerExitError} CTR_EXIT @throws {AbortError} */
  orThrow(): ContainerResult;
}

/** A program did not exit with 0; thrown by `orThrow()`, `text()`, `json()`, `bytes()` and `lines()`. Code CTR_EXIT. */
export class ContainerExitError extends CtrError {
  readonly status: ExitStatus;
  readonly command: readonly string[];
  /** What it wrote to standard error, or the end of it. */
  readonly stderr: string;

  constructor(command: readonly string[], status: ExitStatus, stderr: string) {
    const tail = stderr.trimEnd().split('\n').slice(-5).join('\n  ');
    super('CTR_EXIT', `run ${JSON.stringify(command[0])}: ${describeExit(status)}`, {
      detail: tail === '' ? undefined : tail,
      hint: hintOf(status),
    });
    this.status = status;
    this.command = command;
    this.stderr = stderr;
  }
}
branded(ContainerExitError, 'ContainerExitError');

const HINTS: Partial<Record<ExitReason, string>> = {
  oom: 'it needed more than its limit: raise resources.memory',
  timeout: 'it took longer than "timeout"',
};
const hintOf = (s: ExitStatus): string | undefined => HINTS[s.reason];

/** 'exit code 3', 'killed by SIGSEGV', 'out of memory' … */
export function describeExit(s: ExitStatus): string {
  const how = s.signal === null ? `exit code ${s.exitCode}` : `killed by ${s.signal}`;
  const why: Partial<Record<ExitReason, string>> = { oom: 'out of memory', timeout: 'timed out', aborted: 'aborted', stopped: 'stopped' };
  const word = why[s.reason];
  return word === undefined ? how : `${word} (${how})`;
}

/** The error of a run that was not ok; of an aborted one the AbortError that Node's users expect. */
export function exitError(command: readonly string[], status: ExitStatus, stderr: string, signal: AbortSignal | undefined): Error {
  if (status.reason === 'aborted') return new AbortError(`run ${JSON.stringify(command[0])}`, signal?.reason);
  return new ContainerExitError(command, status, stderr);
}

/** Why we sent a signal, and which. */
export interface KillCause {
  readonly reason: 'timeout' | 'aborted' | 'stopped';
  readonly signal: string;
}

export interface EndFacts {
  readonly exit: ProcessExit;
  readonly directories: CgroupDirectories;
  readonly cause: KillCause | undefined;
  readonly startedAt: Date;
  readonly durationMs: number;
}

/** A shell reports a child that SIGKILL ended as 128 + 9. */
const KILLED_CHILD = 137;

/**
 * A cause counts only when the process ended by its signal: one that exited by itself just before was not timed out.
 * A signal that a program may handle is answered by an exit code of its choice, which then is the answer.
 */
function reasonOf(exit: ProcessExit, cause: KillCause | undefined, oomKilled: boolean): ExitReason {
  const handled = cause !== undefined && cause.signal !== 'SIGKILL' && exit.signal === null;
  if (cause !== undefined && (exit.signal !== null || handled)) return cause.reason;
  if (oomKilled && (exit.signal === 'SIGKILL' || exit.exitCode === KILLED_CHILD)) return 'oom';
  return exit.signal === null ? 'exited' : 'signaled';
}

export function exitStatus({ exit, directories, cause, startedAt, durationMs }: EndFacts): ExitStatus {
  const counted = parseCollected(exit.files, directories);
  const oomKilled = counted.oomKills > 0;
  return {
    exitCode: exit.exitCode,
    signal: exit.signal,
    reason: reasonOf(exit, cause, oomKilled),
    oomKilled,
    startedAt,
    durationMs,
    usage: {
      ...exit.usage,
      cpuMs: counted.cpuUsageMs,
      throttledMs: counted.throttledMs,
      memoryPeakBytes: counted.memoryPeakBytes,
      pidsPeak: counted.pidsPeak,
      pidsLimitHits: counted.pidsLimitHits,
    },
  };
}
