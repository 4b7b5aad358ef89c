// A process that waits inside of a container for its program.
import { AbortError, InvalidArgumentError } from '@ctr/internal/errors';
import type { Launched, Launcher, ParkedLaunch } from '../launcher/launcher.js';
import { callNative, closeFds } from '../native.js';
import type { NamespaceKind } from '../plan/clone-flags.js';
import { ContainerProcess } from '../process.js';
import type { ParkedPrograms } from './parked-program.js';
import type { ParkedSource } from './parking.js';
import type { StartOptions } from './spawn-template.js';

/** How long a program may lie in the socket: it is taken in microseconds, unless the process was stopped or frozen. */
const PATIENCE_MS = 100;

/** The process ends with its socket, also when nobody holds this object any more. */
const forgotten = new FinalizationRegistry<number>((socket) => closeFds([socket]));

interface Facts {
  readonly launch: ParkedLaunch;
  readonly launcher: Launcher;
  readonly source: ParkedSource;
  /** Owned. */
  readonly socket: number;
  readonly programs: ParkedPrograms;
  readonly namespaces: readonly NamespaceKind[];
}

/**
 * Waits inside of a container, with all that a program there has but the program: made by {@link EnterTemplate.park}. It ends with the
 * container, with this Node process, and when this object is disposed of or forgotten; it does not keep Node running.
 */
export class ParkedProcess implements AsyncDisposable {
  /** Its pid in this process's pid namespace. */
  readonly pid: number;
  readonly #facts: Facts;
  #socket: number | undefined;
  #ended = false;

  /** @internal */
  constructor(facts: Facts) {
    this.#facts = facts;
    this.pid = facts.launch.pid;
    this.#socket = facts.socket;
    forgotten.register(this, facts.socket, this);
    // The launcher knows the launch for as long as it waits, and must not know this object.
    const self = new WeakRef(this);
    facts.launch.started.catch(() => ParkedProcess.#lose(self.deref()));
  }

  static #lose(parked: ParkedProcess | undefined): void {
    if (parked === undefined) return;
    parked.#ended = true;
    parked.#takeSocket(closeFds);
  }

  /** True when it can take a program: it has had none, and has not ended. */
  get ready(): boolean {
    return this.#socket !== undefined;
  }

  /** True once it is known to have ended before it had a program. */
  get ended(): boolean {
    return this.#ended;
  }

  /** What it was is used up, whatever comes of it. */
  #takeSocket(use: (socket: [number]) => void): void {
    const socket = this.#socket;
    if (socket === undefined) return;
    this.#socket = undefined;
    forgotten.unregister(this);
    use([socket]);
  }

  /**
   * Becomes this program; once. `stdio` need not be as the template's.
   *
   * @throws InvalidArgumentError CTR_INVALID_ARGUMENT, also for one that is used up, and then it still is what it was; StartError
   * CTR_START_FAILED, after which a start by {@link EnterTemplate.enter} may succeed: somebody inside can end or stop what waits there (EINTR,
   * ETIMEDOUT after 100 ms); AbortError ABORT_ERR.
   */
  async enter(start: StartOptions): Promise<ContainerProcess> {
    const { launch, launcher, source, programs, namespaces } = this.#facts;
    const program = programs.of(start);
    if (start.signal?.aborted) throw new AbortError(program.doing, start.signal.reason);
    if (!this.ready) throw new InvalidArgumentError('this', 'a parked process that has had no program and has not ended', this.pid);
    const ours = new Int32Array(3).fill(-1);
    source.begin(program);
    this.#takeSocket(([socket]) => {
      try {
        callNative(`${program.doing}: tell the parked process`, (b) => b.sendProgram(socket, program.message, program.fds, ours));
      } catch (error) {
        if (!isGone(error)) throw error;
      } finally {
        // It lies in the queue of the other end. Where that is closed the process is ending, and the launcher will say so.
        closeFds([socket]);
      }
    });
    const pipes = Array.from(ours, (fd) => (fd < 0 ? undefined : fd));
    launcher.resume(launch.id);
    try {
      return new ContainerProcess(await this.#started(start.signal, program.doing), launcher, pipes, namespaces);
    } catch (error) {
      closeFds(pipes);
      throw error;
    }
  }

  async #started(signal: AbortSignal | undefined, doing: string): Promise<Launched> {
    const { launch, launcher } = this.#facts;
    const patience = setTimeout(() => launcher.withdraw(launch.id), PATIENCE_MS);
    const abort = (): void => launcher.abandon(launch.id, new AbortError(doing, signal?.reason));
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await launch.started;
    } finally {
      clearTimeout(patience);
      signal?.removeEventListener('abort', abort);
    }
  }

  /** Lets it end, unless it has become a program. Resolves when nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.ready) return;
    this.#takeSocket(closeFds);
    await this.#facts.launch.cleaned;
  }
}

/** The other end is closed. */
const isGone = (error: unknown): boolean => ['EPIPE', 'ECONNRESET', 'ECONNREFUSED'].includes(String((error as { code?: unknown }).code));
