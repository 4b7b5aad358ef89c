// Any process by its pidfd: signals that cannot reach another one, and its end, without SIGCHLD and without polling.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { FdWatch } from './fd-watch.js';
import { callNative, NATIVE_FDS, native } from './native.js';
import { sendSignal } from './send-signal.js';

/**
 * A process that somebody else started: a daemon, a child of a child. It is neither this one's child nor killed with it.
 *
 * @see <https://man7.org/linux/man-pages/man2/pidfd_open.2.html>
 */
export class ProcessHandle {
  readonly pid: number;
  /** Owned by this handle. */
  readonly pidfd: Fd;
  #exited: Promise<void> | undefined;
  #watch: FdWatch | undefined;
  #referenced = true;
  #ended = false;

  /** @internal */
  constructor(pid: number, pidfd: Fd) {
    this.pid = pid;
    this.pidfd = pidfd;
  }

  /** True once it has ended; a zombie has. False after `close()` of one that was still running then. */
  get ended(): boolean {
    if (!this.#ended && !this.pidfd.closed) this.#ended = native().pidfdEnded(this.pidfd.fd);
    return this.#ended;
  }

  /**
   * Resolves when it has ended; how, only its parent learns. Never rejects. Waiting keeps Node's event loop alive, unless
   * `unref()` was called; after `close()` it never resolves.
   */
  get exited(): Promise<void> {
    this.#exited ??= this.#wait();
    return this.#exited;
  }

  #wait(): Promise<void> {
    if (this.ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#watch = new FdWatch(`wait for process ${this.pid}`, this.pidfd.fd, () => {
        this.#ended = true;
        this.#watch = undefined;
        resolve();
      });
      this.#watch.setRef(this.#referenced);
    });
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

  /** Keeps Node's event loop alive while `exited` is waited for; the default. */
  ref(): this {
    this.#referenced = true;
    this.#watch?.setRef(true);
    return this;
  }

  /** Lets Node end while `exited` is waited for. */
  unref(): this {
    this.#referenced = false;
    this.#watch?.setRef(false);
    return this;
  }

  /** Lets go of the process, which goes on. */
  close(): void {
    this.#watch?.close();
    this.#watch = undefined;
    this.pidfd.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens a running process by its pid, or by a pidfd that the caller keeps.
 *
 * @throws SyscallError ESRCH when there is none; InvalidArgumentError CTR_INVALID_ARGUMENT.
 * @remarks Linux 5.3. A pid read from a file may by now be another's: compare what should be so after opening.
 * @example
 * ```ts
 * using daemon = openProcess(4711)
 * daemon.kill('SIGTERM')
 * await daemon.exited
 * ```
 */
export function openProcess(pid: number, pidfd?: Fd): ProcessHandle {
  assertLinux('openProcess()');
  if (!Number.isInteger(pid) || pid <= 0) throw new InvalidArgumentError('pid', 'the pid of a process', pid);
  if (pidfd !== undefined && !Fd.is(pidfd)) throw new InvalidArgumentError('pidfd', 'an Fd', pidfd);
  const doing = `open process ${pid}`;
  const number = pidfd === undefined ? callNative(doing, (b) => b.pidfdOpen(pid)) : callNative(doing, (b) => b.dup(pidfd.fd));
  return new ProcessHandle(pid, Fd.of(number, NATIVE_FDS));
}
