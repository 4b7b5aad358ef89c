// Node's end of the monitor: sends plans, routes answers to the one who waits. One per Node environment
// (main thread or worker), started lazily; see docs/decisions/0002.
import { AbortError, CleanupError, SyscallError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { callNative, closeFds, initProgram, type MonitorHandle, NATIVE_FDS } from '../native.js';
import type { Plan } from '../plan/plan.js';
import { type PlanSource, planSource } from '../plan/plan-source.js';
import { settleOrphans } from './after-monitor.js';
import { decodeEvent, decodeExit, decodeFailures, decodeFiles, type MonitorEvent, STAGE_NAMES } from './events.js';
import { type Job, type Launched, newJob, type Resolvers, withResolvers } from './job.js';
import { Outbox, type Outgoing } from './outbox.js';
import { cleanupErrors, type HintSource, startError } from './start-error.js';

export type { Launched, ProcessExit } from './job.js';

/** Of native/init/plan.h: enum OrderKind. */
const ORDERS = { release: 1, kill: 2, withdraw: 3 } as const;
/** The pipe holds eight thousand orders: full it is only when the monitor cannot read for very long. */
const ORDER_RETRY_MS = 10;
const EACCES = 13;
const EMFILE = 24;
const ECONNRESET = 104;
const ETIMEDOUT = 110;
const SETUP = STAGE_NAMES.indexOf('setup');

/** A launch that waits for its program. */
export interface ParkedLaunch {
  readonly id: number;
  /** Of the process that waits. */
  readonly pid: number;
  /** Once its program runs. Rejects when it ended before, for whatever reason. */
  readonly started: Promise<Launched>;
  /** Resolves when nothing of it is left. */
  readonly cleaned: Promise<void>;
}

/** The kernel leaves a descriptor out when this process may have no more; without it nobody could look after the program. */
const outOfDescriptors = ({ source }: Job): SyscallError =>
  new SyscallError({ errno: EMFILE, syscall: 'recvmsg', doing: `${source.doing}: take the process over` });

export class Launcher {
  static #current: Launcher | undefined;
  /** What goes on after the death of a monitor. */
  static readonly #settling = new Set<Promise<void>>();
  readonly #handle: MonitorHandle;
  readonly #jobs = new Map<number, Job>();
  readonly #outbox = new Outbox(() => this.#handle);
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

  /** The launcher if there is one that takes plans, without starting it. */
  static get existing(): Launcher | undefined {
    const known = Launcher.#current;
    return known?.isOpen ? known : undefined;
  }

  /** Ends the present monitor, once nothing is left to do for a former one. @throws CleanupError */
  static async close(): Promise<void> {
    while (Launcher.#settling.size > 0) await Promise.all(Launcher.#settling);
    await Launcher.existing?.close();
  }

  private constructor() {
    this.#handle = callNative(
      'start the monitor',
      (b) =>
        new b.MonitorHandle(
          initProgram(),
          (message, fd) => this.#onMessage(message, fd),
          () => this.#outbox.flush(),
        ),
      (errno) => (errno === EACCES ? 'sysctl vm.memfd_noexec=2 forbids running programs from memory; set it to 0 or 1' : undefined),
    );
  }

  /** False once the monitor is gone, or told to go. */
  get isOpen(): boolean {
    return this.#alive && !this.#closing;
  }

  /** The monitor's pid. */
  get pid(): number {
    return this.#handle.pid();
  }

  /**
   * Resolves once exec has happened. `ownFds` are closed here as soon as the monitor has them, or cannot get them. When
   * `signal` fires before, rejects with AbortError once nothing of the start is left.
   */
  async launch(source: PlanSource, hints: HintSource, ownFds: readonly number[] = [], signal?: AbortSignal): Promise<Launched> {
    if (signal === undefined) return (await this.#submit(source, 'launch', hints, ownFds).job.started.promise) as Launched;
    if (signal.aborted) {
      closeFds(ownFds);
      throw new AbortError(source.doing, signal.reason);
    }
    const { id, job, item } = this.#submit(source, 'launch', hints, ownFds);
    const abort = (): void => this.#giveUp(id, job, item, new AbortError(source.doing, signal.reason));
    signal.addEventListener('abort', abort, { once: true });
    try {
      return (await job.started.promise) as Launched;
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  /**
   * As launch(), for a message that is complete but for its number, with pipes made on the way: see MonitorHandle.launch for `fds` and
   * `ours`. Undefined when it cannot be sent at once: nothing was done, and launch() says what is wrong.
   */
  launchReady(
    { source, words, message, fds }: { source: PlanSource; words: Uint32Array; message: Uint8Array; fds: Int32Array },
    ours: Int32Array,
    hints: HintSource,
  ): Promise<Launched> | undefined {
    if (!this.#outbox.isEmpty) return undefined;
    const id = this.#nextId;
    words[2] = id;
    try {
      if (!this.#handle.launch(message, fds, ours)) return undefined;
    } catch {
      return undefined;
    }
    this.#nextId++;
    const job = newJob(source, hints, 'launch');
    this.#jobs.set(id, job);
    this.#setRefs(1);
    return job.started.promise as Promise<Launched>;
  }

  /**
   * Resolves when the process waits for its program. It does not keep Node's event loop alive before it is told one. `ownFds` as for launch().
   */
  async park(source: PlanSource, hints: HintSource, ownFds: readonly number[]): Promise<ParkedLaunch> {
    const parked = withResolvers<number>();
    const { id, job } = this.#submit(source, 'launch', hints, ownFds, parked);
    const pid = await parked.promise;
    return { id, pid, started: job.started.promise as Promise<Launched>, cleaned: job.cleaned.promise };
  }

  /** A parked launch has been told its program. */
  resume(id: number): void {
    const job = this.#jobs.get(id);
    if (job?.idle) this.#setIdle(job, false);
  }

  /** Asks for the program of a parked launch back: `started` rejects with ETIMEDOUT where it had not been taken. */
  withdraw(id: number): void {
    if (this.#jobs.has(id)) this.#order('withdraw', id);
  }

  /** Ends a parked launch, whatever it has come to. */
  abandon(id: number, error: AbortError): void {
    const job = this.#jobs.get(id);
    if (job === undefined) return;
    job.givenUp = error;
    this.#order('kill', id);
  }

  #setIdle(job: Job, idle: boolean): void {
    job.idle = idle;
    this.#setRefs(idle ? -1 : 1);
  }

  /** A start that is not wanted any more: taken back when it was not sent, killed on its way otherwise. */
  #giveUp(id: number, job: Job, item: Outgoing | undefined, error: AbortError): void {
    if (item !== undefined && this.#outbox.takeBack(item)) {
      this.#fail(id, job, error);
      return;
    }
    job.givenUp = error;
    this.#order('kill', id);
  }

  /** Runs `prepare` in the monitor and keeps what it opened; resolves to the release. */
  async hold(plan: Plan, hints: HintSource): Promise<() => Promise<void>> {
    const { id, job } = this.#submit(planSource(plan), 'hold', hints, []);
    await job.started.promise;
    // A hold lasts as long as Node, and must not keep it alive.
    this.addRef(-1);
    let released = false;
    return () => {
      if (!released && this.isOpen) {
        this.#setRefs(1);
        this.#order('release', id);
      }
      released = true;
      return job.cleaned.promise;
    };
  }

  /** Ends the monitor: kills what still runs, cleans up, and resolves when all is done. @throws CleanupError */
  async close(): Promise<void> {
    if (!this.isOpen) return this.#gone.promise;
    const cleaned = [...this.#jobs.values()].map((job) => job.cleaned.promise);
    this.#closing = true;
    this.#setRefs(1);
    this.#handle.closeLifeline();
    await this.#gone.promise;
    const errors = (await Promise.allSettled(cleaned)).flatMap((r) => (r.status === 'rejected' ? [r.reason as Error] : []));
    if (errors.length > 0) throw new CleanupError('what was still running', errors);
  }

  /** Counts what keeps Node's event loop alive. */
  #setRefs(change: number): void {
    const before = this.#refs > 0;
    this.#refs += change;
    if (this.#refs > 0 !== before) this.#handle.setRef(!before);
  }

  addRef(change: 1 | -1): void {
    if (this.#alive) this.#setRefs(change);
  }

  #submit(
    source: PlanSource,
    kind: Job['kind'],
    hints: HintSource,
    ownFds: readonly number[],
    parked?: Resolvers<number>,
  ): { readonly id: number; readonly job: Job; readonly item?: Outgoing } {
    const id = this.#nextId++;
    const own = [...ownFds];
    let job: Job | undefined;
    let early: { readonly error: unknown } | undefined;
    const failed = (error: unknown): void => {
      if (job === undefined) early = { error };
      else this.#fail(id, job, error);
    };
    let item: Outgoing | undefined;
    try {
      const { message, fds, large } = source.encode(id, kind);
      if (large) {
        own.push(callNative('hand a large plan to the monitor', (b) => b.memfd(large)));
        fds.push(own.at(-1) as number);
      }
      item = { message, fds: Int32Array.from(fds), own, failed };
      this.#outbox.send(item);
    } catch (error) {
      closeFds(own);
      failed(error);
    }
    // What waits for the answers is made while the monitor works: none can come within this turn.
    job = newJob(source, hints, kind, parked);
    this.#jobs.set(id, job);
    this.#setRefs(1);
    if (parked !== undefined) this.#setIdle(job, true);
    if (early !== undefined) this.#fail(id, job, early.error);
    return item === undefined ? { id, job } : { id, job, item };
  }

  /** Once the monitor is gone, #onGone settles everything. */
  #order(kind: keyof typeof ORDERS, id: number): void {
    if (this.#alive && !this.#handle.order(ORDERS[kind], id)) setTimeout(() => this.#order(kind, id), ORDER_RETRY_MS);
  }

  #onMessage(message: Buffer | null, fd: number): void {
    if (message === null) this.#onGone();
    else this.#onEvent(decodeEvent(message), fd);
  }

  #onEvent(event: MonitorEvent, fd: number): void {
    const job = this.#jobs.get(event.id);
    if (job === undefined) closeFds(fd >= 0 ? [fd] : []);
    else if (event.kind === 'started') this.#onStarted(event, job, fd);
    else if (event.kind === 'held') this.#onHeld(job);
    else if (event.kind === 'parked') job.parked?.resolve(event.a);
    else if (event.kind === 'withdrawn') this.#onWithdrawn(job);
    else if (event.kind === 'failed') this.#onFailed(event, job);
    else if (event.kind === 'exited') this.#onExited(event, job);
    else if (event.kind === 'cleaned') this.#onCleaned(event, job);
  }

  #onHeld(job: Job): void {
    job.live = true;
    job.started.resolve(undefined);
  }

  /** It will end, now or when it is thawed, and has not run anything. */
  #onWithdrawn(job: Job): void {
    if (!job.idle) this.#setIdle(job, true);
    const step = job.source.plan.stages.setup.flat().findIndex(({ call }) => call === 'await_program');
    job.started.reject(job.givenUp ?? startError(job.source.plan, SETUP, { step, errno: ETIMEDOUT }, job.hints));
  }

  #onStarted(event: MonitorEvent, job: Job, fd: number): void {
    job.live = true;
    if (job.givenUp !== undefined) {
      closeFds(fd >= 0 ? [fd] : []);
      this.#abandon(event.id, job, job.givenUp);
    } else if (fd < 0) this.#abandon(event.id, job, outOfDescriptors(job));
    else {
      job.pidfd = Fd.of(fd, NATIVE_FDS);
      job.started.resolve({ id: event.id, pid: event.a, pidfd: job.pidfd, exited: job.exited.promise, cleaned: job.cleaned.promise });
    }
  }

  /** It runs and nobody will look after it: it is killed, and then the start fails. */
  #abandon(id: number, { started, cleaned }: Job, error: Error): void {
    const reject = (): void => started.reject(error);
    cleaned.promise.then(reject, reject);
    this.#order('kill', id);
  }

  #onFailed(event: MonitorEvent, job: Job): void {
    const error = job.givenUp ?? startError(job.source.plan, event.a, { step: event.b, errno: event.c }, job.hints);
    const cleanup = cleanupErrors(job.source, decodeFailures(event.payload));
    if (cleanup.length > 0) error.cleanup = cleanup;
    this.#fail(event.id, job, error);
  }

  /** Nothing was started, and nothing is left. */
  #fail(id: number, job: Job, error: unknown): void {
    this.#forget(id, job);
    job.parked?.reject(error);
    job.started.reject(error);
    job.cleaned.resolve();
  }

  #onExited(event: MonitorEvent, job: Job): void {
    const files = new Map<string, string>();
    for (const [step, text] of decodeFiles(event.payload)) files.set(job.source.collectedPath(step), text);
    job.exited.resolve({
      ...decodeExit(event.a, event.b),
      usage: { cpuUserMs: event.userUs / 1000, cpuSystemMs: event.systemUs / 1000, maxRssBytes: event.maxRssKb * 1024 },
      files,
    });
  }

  #onCleaned(event: MonitorEvent, job: Job): void {
    const errors = cleanupErrors(job.source, decodeFailures(event.payload));
    this.#forget(event.id, job);
    if (errors.length > 0) job.cleaned.reject(new CleanupError(job.source.doing, errors));
    else job.cleaned.resolve();
  }

  #forget(id: number, { idle }: Job): void {
    if (this.#jobs.delete(id) && !idle) this.#setRefs(-1);
  }

  /** The monitor ended: asked to, or killed by somebody. */
  #onGone(): void {
    this.#alive = false;
    this.#outbox.clear();
    const why = this.#closing ? 'the monitor was told to end' : 'the monitor process was killed; a new one starts with the next container';
    const gone = ({ doing }: PlanSource): SyscallError =>
      new SyscallError({ errno: ECONNRESET, syscall: 'recvmsg', doing: `${doing}: talk to the monitor` }, { hint: why });
    // One that was told to go has read no further plan, and has said of all others that they are done.
    const orphans: Job[] = [];
    for (const [id, job] of this.#jobs) {
      if (job.live || !this.#closing) orphans.push(job);
      else this.#fail(id, job, gone(job.source));
    }
    this.#jobs.clear();
    const settling = settleOrphans(orphans, gone, (plan, hints) => Launcher.current.hold(plan, hints));
    Launcher.#settling.add(settling);
    void settling.finally(() => Launcher.#settling.delete(settling));
    this.#gone.resolve();
  }
}
