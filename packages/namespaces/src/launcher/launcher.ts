// Node's end of the monitor: sends plans, routes answers to the one who waits. One per Node environment
// (main thread or worker), started lazily; see docs/decisions/0002.
import { closeSync } from 'node:fs';
import { CleanupError, SyscallError } from '@ctr/internal/errors';
import { callNative, initProgram, type MonitorHandle } from '../native.js';
import { type EncodedPlan, encodePlan, encodeRelease } from '../plan/encode-plan.js';
import { holdPlan, type Plan, stepAt } from '../plan/plan.js';
import { decodeEvent, decodeExit, decodeFailures, decodeFiles, type MonitorEvent } from './events.js';
import { cleanupErrors, type HintSource, startError } from './start-error.js';

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
  pid: number;
  /** Owned by the receiver. */
  pidfd: number;
  exited: Promise<ProcessExit>;
  cleaned: Promise<void>;
}

interface Job {
  plan: Plan;
  hints: HintSource;
  started: PromiseWithResolversOf<Launched>;
  exited: PromiseWithResolversOf<ProcessExit>;
  cleaned: PromiseWithResolversOf<void>;
}

/** A message with the descriptors that go along and those to close once they are sent. */
interface Outgoing {
  message: Uint8Array;
  fds: Int32Array;
  own: number[];
}

interface PromiseWithResolversOf<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: unknown) => void;
}

function withResolvers<T>(): PromiseWithResolversOf<T> {
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

const NO_USAGE = { cpuUserMs: 0, cpuSystemMs: 0, maxRssBytes: 0 };

export class Launcher {
  static #current: Launcher | undefined;
  readonly #handle: MonitorHandle;
  readonly #jobs = new Map<number, Job>();
  /** Messages that did not fit into the socket, with the descriptors to close once they are sent. */
  readonly #queue: Outgoing[] = [];
  readonly #gone = withResolvers<void>();
  #nextId = 1;
  #refs = 0;
  #alive = true;
  #closing = false;

  /** The environment's launcher; a new one when the last one's monitor was killed. */
  static get current(): Launcher {
    const known = Launcher.existing;
    if (known) return known;
    Launcher.#current = new Launcher();
    return Launcher.#current;
  }

  /** The launcher if there is one, without starting it. */
  static get existing(): Launcher | undefined {
    const known = Launcher.#current;
    return known?.isAlive ? known : undefined;
  }

  private constructor() {
    this.#handle = callNative(
      'start the monitor',
      (b) =>
        new b.MonitorHandle(
          initProgram(),
          (message, fd) => this.#onMessage(message, fd),
          () => this.#flush(),
        ),
      (errno) => (errno === 13 ? 'sysctl vm.memfd_noexec=2 forbids running programs from memory; set it to 0 or 1' : undefined),
    );
  }

  /** False once the monitor is gone. */
  get isAlive(): boolean {
    return this.#alive;
  }

  /** The monitor's pid. */
  get pid(): number {
    return this.#handle.pid();
  }

  /** Resolves once exec has happened. `ownFds` are closed here as soon as the monitor has them. */
  launch(plan: Plan, hints: HintSource, ownFds: number[] = []): Promise<Launched> {
    return this.#submit(plan, 'launch', hints, ownFds).started.promise;
  }

  /** Runs `prepare` in the monitor and keeps what it opened; resolves to the release. */
  async hold(plan: Plan, hints: HintSource): Promise<() => Promise<void>> {
    const id = this.#nextId;
    const job = this.#submit(plan, 'hold', hints, []);
    await job.started.promise;
    // A hold lasts as long as Node, and must not keep it alive.
    this.#setRefs(-1);
    let released = false;
    return () => {
      if (!released && this.#alive) {
        this.#setRefs(1);
        this.#send(encodeRelease(id), [], []);
      }
      released = true;
      return job.cleaned.promise;
    };
  }

  /** Ends the monitor: kills what still runs, cleans up, and resolves when all is done. */
  async close(): Promise<void> {
    if (!this.#alive) return;
    this.#closing = true;
    this.#setRefs(1);
    this.#handle.closeLifeline();
    await this.#gone.promise;
  }

  /** Counts what keeps Node's event loop alive. */
  #setRefs(change: number): void {
    const before = this.#refs;
    this.#refs += change;
    if (before === 0 && this.#refs > 0) this.#handle.setRef(true);
    if (before > 0 && this.#refs === 0) this.#handle.setRef(false);
  }

  addRef(change: 1 | -1): void {
    if (this.#alive) this.#setRefs(change);
  }

  #submit(plan: Plan, kind: 'launch' | 'hold', hints: HintSource, ownFds: number[]): Job {
    const id = this.#nextId++;
    const job: Job = { plan, hints, started: withResolvers(), exited: withResolvers(), cleaned: withResolvers() };
    try {
      this.#sendEncoded(encodePlan(plan, id, kind), ownFds);
    } catch (e) {
      for (const fd of ownFds) closeSync(fd);
      job.started.reject(e);
      return job;
    }
    this.#jobs.set(id, job);
    this.#setRefs(1);
    return job;
  }

  #sendEncoded(encoded: EncodedPlan, ownFds: number[]): void {
    const { large } = encoded;
    if (!large) {
      this.#send(encoded.message, encoded.fds, ownFds);
      return;
    }
    const memfd = callNative('hand a large plan to the monitor', (b) => b.memfd(large));
    this.#send(encoded.message, [...encoded.fds, memfd], [...ownFds, memfd]);
  }

  #send(message: Uint8Array, fds: readonly number[], own: number[]): void {
    const item = { message, fds: Int32Array.from(fds), own };
    if (this.#queue.length > 0 || !this.#trySend(item)) this.#queue.push(item);
  }

  #trySend(item: Outgoing): boolean {
    if (!callNative('talk to the monitor', () => this.#handle.send(item.message, item.fds))) return false;
    for (const fd of item.own) closeSync(fd);
    return true;
  }

  #flush(): void {
    try {
      for (let next = this.#queue[0]; next !== undefined && this.#trySend(next); next = this.#queue[0]) this.#queue.shift();
    } catch {
      // The monitor is gone; #onGone follows and settles every job.
    }
  }

  #onMessage(message: Buffer | null, fd: number): void {
    const event = message && decodeEvent(message);
    const job = event && this.#jobs.get(event.id);
    if (event === null) this.#onGone();
    else if (job) this.#route(event, job, fd);
    else if (fd >= 0) closeSync(fd);
  }

  #route(event: MonitorEvent, job: Job, fd: number): void {
    const launched = { pid: event.a, pidfd: fd, exited: job.exited.promise, cleaned: job.cleaned.promise };
    if (event.kind === 'started' || event.kind === 'held') job.started.resolve(launched);
    else if (event.kind === 'failed') this.#onFailed(event, job);
    else if (event.kind === 'exited') this.#onExited(event, job);
    else if (event.kind === 'cleaned') this.#onCleaned(event, job);
  }

  #onFailed(event: MonitorEvent, job: Job): void {
    const error = startError(job.plan, event.a, { step: event.b, errno: event.c }, job.hints);
    const cleanup = cleanupErrors(job.plan, decodeFailures(event.payload));
    if (cleanup.length > 0) error.cleanup = cleanup;
    this.#forget(event.id);
    job.started.reject(error);
  }

  #onExited(event: MonitorEvent, job: Job): void {
    const files = new Map<string, string>();
    for (const [step, text] of decodeFiles(event.payload)) files.set(String(stepAt(job.plan.stages.collect, step)?.args[0]), text);
    job.exited.resolve({
      ...decodeExit(event.a, event.b),
      usage: { cpuUserMs: event.userUs / 1000, cpuSystemMs: event.systemUs / 1000, maxRssBytes: event.maxRssKb * 1024 },
      files,
    });
  }

  #onCleaned(event: MonitorEvent, job: Job): void {
    const errors = cleanupErrors(job.plan, decodeFailures(event.payload));
    this.#forget(event.id);
    if (errors.length > 0) job.cleaned.reject(new CleanupError(job.plan.doing, errors));
    else job.cleaned.resolve();
  }

  #forget(id: number): void {
    this.#jobs.delete(id);
    this.#setRefs(-1);
  }

  /** The monitor ended: asked to, or killed by somebody. Its children died with it (PR_SET_PDEATHSIG). */
  #onGone(): void {
    this.#alive = false;
    for (const item of this.#queue.splice(0)) for (const fd of item.own) closeSync(fd);
    const gone = new SyscallError(
      { errno: 104, syscall: 'recvmsg', doing: 'talk to the monitor' },
      { hint: 'the monitor process was killed; a new one starts with the next container' },
    );
    for (const job of this.#jobs.values()) {
      job.started.reject(gone);
      job.exited.resolve({ exitCode: null, signal: 'SIGKILL', usage: NO_USAGE, files: new Map() });
      if (this.#closing) job.cleaned.resolve();
      else cleanAfterMonitor(job.plan).then(job.cleaned.resolve, job.cleaned.reject);
    }
    this.#jobs.clear();
    this.#gone.resolve();
  }
}

/** A killed monitor leaves clean-up steps undone: a new one does them. They are idempotent. */
async function cleanAfterMonitor(plan: Plan): Promise<void> {
  if (plan.stages.cleanup.length === 0) return;
  const release = await Launcher.current.hold(holdPlan(`clean up after: ${plan.doing}`, [], plan.stages.cleanup.flat()), () => undefined);
  await release();
}
