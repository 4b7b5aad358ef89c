// What the first process of a container and a further one have in common: streams, signals, limits of time, the end.
import type { Readable, Writable } from 'node:stream';
import type { CgroupDirectories } from '@ctr/cgroups';
import { AbortError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import type { ContainerProcess, ProcessExit, Terminal } from '@ctr/namespaces';
import { KeptStreams } from './kept-streams.js';
import type { ExecSpec } from './options/run-schema.js';
import type { SignalName } from './options/units.js';
import { type ExitStatus, exitStatus, type KillCause } from './result.js';
import type { StdioPlan } from './stdio.js';

/** How long a program may take to answer a `killSignal` other than SIGKILL. */
const PATIENCE_MS = 10_000;

export interface RunningFacts {
  readonly process: ContainerProcess;
  readonly command: readonly string[];
  readonly spec: ExecSpec;
  readonly stdio: StdioPlan;
  /** For what the cgroup tells at the end; empty for a process that has none of its own. */
  readonly directories: CgroupDirectories;
  /** Asked when SIGKILL ended it and nobody here sent that: true when memory had run out. */
  readonly wasOom?: () => Promise<boolean>;
}

/** A running program, in a container of its own or beside another. Await `exited` for its end. */
export class RunningProcess implements AsyncDisposable {
  /** Program and arguments. */
  readonly command: readonly string[];
  /** When the program began. */
  readonly startedAt: Date;
  /** Resolves when the kernel has confirmed its end; never rejects. Output may still wait in the pipes. */
  readonly exited: Promise<ExitStatus>;
  readonly #facts: RunningFacts;
  readonly #streams: KeptStreams;
  readonly #startedMs = performance.now();
  readonly #timers = new Set<NodeJS.Timeout>();
  #cause: KillCause | undefined;
  #status: ExitStatus | undefined;

  /** @internal */
  constructor(facts: RunningFacts) {
    this.#facts = facts;
    this.#streams = new KeptStreams(facts.process, facts.stdio.open);
    this.command = facts.command;
    this.startedAt = new Date();
    const disconnect = facts.stdio.connect(facts.process);
    const release = this.#watch();
    this.exited = facts.process.exited.then(async (exit) => {
      const durationMs = performance.now() - this.#startedMs;
      release();
      disconnect();
      this.#streams.settle();
      this.#status = await this.#describeEnd(exit, durationMs);
      return this.#status;
    });
  }

  /** Its pid as this process sees it; inside, the first process of a container is 1. */
  get pid(): number {
    return this.#facts.process.pid;
  }

  /** A descriptor of the process itself, which never comes to mean another one; closed at its end. */
  get pidfd(): Fd {
    return this.#facts.process.pidfd;
  }

  /** Writable end of its standard input; `null` unless `stdin` is 'pipe'. */
  get stdin(): Writable | null {
    return this.#streams.stdin;
  }

  /** `null` unless `stdout` is 'pipe'. */
  get stdout(): Readable | null {
    return this.#streams.stdout;
  }

  /** `null` unless `stderr` is 'pipe'. */
  get stderr(): Readable | null {
    return this.#streams.stderr;
  }

  /** Its terminal: `resize(columns, rows)` and the size it has. `null` without the option `tty`. */
  get tty(): Pick<Terminal, 'columns' | 'rows' | 'resize'> | null {
    return this.#facts.process.tty;
  }

  /** How it ended; `undefined` while it runs. */
  get exitStatus(): ExitStatus | undefined {
    return this.#status;
  }

  /**
   * Sends a signal. The first process of a container gets only signals that it handles, and SIGKILL and SIGSTOP.
   *
   * @param signal Default 'SIGTERM'.
   * @returns False when it had already ended.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown signal.
   */
  kill(signal: SignalName = 'SIGTERM'): boolean {
    return this.#facts.process.kill(signal);
  }

  /**
   * Waits for the end.
   *
   * @param options `signal` ends the waiting, not the process.
   * @throws {AbortError} ABORT_ERR when the signal fires first.
   */
  async wait(options: { signal?: AbortSignal | undefined } = {}): Promise<ExitStatus> {
    const { signal } = options;
    if (signal === undefined) return this.exited;
    if (signal.aborted) throw new AbortError('wait', signal.reason);
    let onAbort = (): void => {};
    const aborted = new Promise<never>((_, reject) => {
      onAbort = () => reject(new AbortError('wait', signal.reason));
      signal.addEventListener('abort', onAbort, { once: true });
    });
    try {
      return await Promise.race([this.exited, aborted]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  /** Keeps Node running while the program does; the default. */
  ref(): this {
    this.#facts.process.ref();
    return this;
  }

  /** Lets Node end while the program runs, which is then killed. */
  unref(): this {
    this.#facts.process.unref();
    return this;
  }

  /** Kills it, and resolves when nothing of it is left on the host. @throws {CleanupError} CTR_CLEANUP_FAILED */
  async [Symbol.asyncDispose](): Promise<void> {
    this.end({ reason: 'stopped', signal: 'SIGKILL' });
    await this.exited;
    this.#facts.process.closeStreams();
    await this.#facts.process.cleaned;
  }

  /** @internal Resolves when nothing is left on the host. */
  get cleaned(): Promise<void> {
    return this.#facts.process.cleaned;
  }

  /** @internal Lets go of the pipes, also when something else still holds their other ends. */
  closeStreams(): void {
    this.#facts.process.closeStreams();
  }

  /** @internal Sends the signal of a cause, the first of which is the reason; SIGKILL follows if it is not obeyed. */
  end(cause: KillCause, patienceMs = PATIENCE_MS): void {
    if (this.#status !== undefined || !this.kill(cause.signal)) return;
    this.#cause ??= cause;
    if (cause.signal !== 'SIGKILL') this.#later(patienceMs, () => this.kill('SIGKILL'));
  }

  #later(ms: number, act: () => void): void {
    // Unreferenced: the process itself keeps Node alive, unless the caller said otherwise.
    this.#timers.add(setTimeout(act, ms).unref());
  }

  /** Starts the clock and listens to the caller's signal; returns what stops both. */
  #watch(): () => void {
    const { signal, timeout, killSignal = 'SIGKILL' } = this.#facts.spec;
    const abort = (): void => this.end({ reason: 'aborted', signal: killSignal });
    if (timeout !== undefined) this.#later(timeout, () => this.end({ reason: 'timeout', signal: killSignal }));
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    return () => {
      signal?.removeEventListener('abort', abort);
      for (const timer of this.#timers) clearTimeout(timer);
      this.#timers.clear();
    };
  }

  async #describeEnd(exit: ProcessExit, durationMs: number): Promise<ExitStatus> {
    const { directories, wasOom } = this.#facts;
    const status = exitStatus({ exit, directories, cause: this.#cause, startedAt: this.startedAt, durationMs });
    const suspicious = exit.signal === 'SIGKILL' || exit.exitCode === 137;
    if (wasOom === undefined || !suspicious || this.#cause !== undefined || !(await wasOom())) return status;
    return { ...status, oomKilled: true, reason: 'oom' };
  }
}
