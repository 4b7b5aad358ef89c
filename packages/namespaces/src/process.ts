// A process that spawn or enter started: its streams, its end, and the signals to it.
import { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { Fd } from '@ctr/internal/fd';
import type { Launched, Launcher, ProcessExit } from './launcher/launcher.js';
import { closeFds, native } from './native.js';
import type { NamespaceKind } from './plan/clone-flags.js';
import { sendSignal } from './send-signal.js';
import type { Terminal } from './terminal/terminal.js';

/** Closes pipe ends that nobody ever looked at once their process object is gone. */
const forgotten = new FinalizationRegistry<(number | undefined)[]>(closeFds);

/**
 * A running process in its namespaces. It dies with this Node process, by whatever cause that ends.
 *
 * Streams are made when they are first looked at. As with `node:child_process`, a pipe that nobody reads fills up
 * after 64 KiB and then holds the program.
 */
export class ContainerProcess {
  /** Its pid in this process's pid namespace. */
  readonly pid: number;
  /** A pidfd <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>; closed when the process has ended. */
  readonly pidfd: Fd;
  /** Resolves when the process has ended and was reaped; never rejects. Output may still wait in the pipes. */
  readonly exited: Promise<ProcessExit>;
  /** Resolves when nothing of it is left on the host. Rejects with CleanupError CTR_CLEANUP_FAILED. */
  readonly cleaned: Promise<void>;
  /** Its terminal; `null` unless `tty` was asked for. It is also `stdin` and `stdout`. */
  readonly tty: Terminal | null;
  /** The kinds of namespaces that it does not share with this process. */
  readonly namespaces: readonly NamespaceKind[];
  /** @internal The number of its plan at the launcher. */
  readonly launchId: number;
  readonly #launcher: Launcher;
  /** Our ends of the pipes until they become streams: stdin, stdout, stderr. */
  readonly #pipes: (number | undefined)[];
  readonly #streams: (Socket | undefined)[] = [];
  #closed: Promise<ProcessExit> | undefined;
  #ended = false;
  #referenced = true;

  /** @internal */
  constructor(
    launched: Launched,
    launcher: Launcher,
    pipes: (number | undefined)[],
    namespaces: readonly NamespaceKind[],
    terminal?: Terminal,
  ) {
    this.tty = terminal ?? null;
    this.namespaces = namespaces;
    this.launchId = launched.id;
    this.pid = launched.pid;
    this.pidfd = launched.pidfd;
    this.#launcher = launcher;
    this.#pipes = pipes;
    this.cleaned = launched.cleaned;
    this.exited = launched.exited.then((exit) => {
      this.#ended = true;
      this.pidfd.close();
      terminal?.programEnded();
      return exit;
    });
    const settled = () => {
      if (!this.#referenced) launcher.addRef(1);
    };
    this.cleaned.then(settled, settled);
    if (pipes.some((fd) => fd !== undefined)) forgotten.register(this, pipes, this);
  }

  /** Writable end of its standard input; `null` unless stdio[0] is 'pipe'. */
  get stdin(): Writable | null {
    return this.tty ?? this.#stream(0);
  }

  /** Its standard output; `null` unless stdio[1] is 'pipe'. */
  get stdout(): Readable | null {
    return this.tty ?? this.#stream(1);
  }

  /** Its standard error; `null` unless stdio[2] is 'pipe'. */
  get stderr(): Readable | null {
    return this.#stream(2);
  }

  /**
   * Resolves when it has ended and all its output was read: 'close' of `node:child_process`, where {@link exited} is its
   * 'exit'. It waits for whoever reads, and for what the program left running that still holds a pipe.
   */
  get closed(): Promise<ProcessExit> {
    this.#closed ??= this.exited.then(async (exit) => {
      const outputs = this.tty ? [this.tty] : [this.stdout, this.stderr];
      await Promise.all(outputs.map((s) => (s === null || s.closed ? undefined : new Promise((done) => s.once('close', done)))));
      return exit;
    });
    return this.#closed;
  }

  /** True once the kernel has confirmed the end. */
  get ended(): boolean {
    return this.#ended;
  }

  #stream(n: 0 | 1 | 2): Socket | null {
    const made = this.#streams[n];
    if (made) return made;
    const fd = this.#pipes[n];
    if (fd === undefined) return null;
    this.#pipes[n] = undefined;
    native().release(fd);
    const stream = new Socket({ fd, readable: n > 0, writable: n === 0, allowHalfOpen: true });
    // A program that closes its input early is no failure of this one.
    if (n === 0) stream.on('error', () => {});
    this.#streams[n] = stream;
    return stream;
  }

  /**
   * Sends a signal through the pidfd: it can never reach another process.
   *
   * @param signal Name or number; default 'SIGTERM'. 0 only asks whether it could be sent.
   * @returns False when the process had already ended.
   * @throws InvalidArgumentError CTR_INVALID_ARGUMENT for an unknown signal; SyscallError EPERM.
   */
  kill(signal: string | number = 'SIGTERM'): boolean {
    return sendSignal(this, signal);
  }

  /** Keeps Node's event loop alive while it runs; the default. */
  ref(): this {
    if (!this.#referenced && !this.#ended) this.#launcher.addRef(1);
    if (!this.#ended) this.#referenced = true;
    this.tty?.ref();
    return this;
  }

  /** Lets Node end while it runs; it is then killed. */
  unref(): this {
    if (this.#referenced && !this.#ended) this.#launcher.addRef(-1);
    if (!this.#ended) this.#referenced = false;
    this.tty?.unref();
    return this;
  }

  /** Closes the pipes of this side. */
  closeStreams(): void {
    forgotten.unregister(this);
    closeFds(this.#pipes.splice(0));
    for (const s of this.#streams) s?.destroy();
    this.tty?.destroy();
  }

  /** SIGKILL, and resolves when nothing of it is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
    this.closeStreams();
    await this.cleaned;
  }
}
