// The descriptor of a filter that asks, as an async iterable: waiting is epoll's, so neither the event loop nor a thread is held.
import type { Fd } from '@ctr/internal/fd';
import { callNative, type FdWatcher } from '../../native.js';
import { SeccompNotification } from './notification.js';

type Result = IteratorResult<SeccompNotification, undefined>;

interface Waiter {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

const DONE: Result = { done: true, value: undefined };

/**
 * Receives the system calls that a filter answers with SCMP_ACT_NOTIFY. Iterating ends when no process has the filter any
 * more, and when the listener is closed; leaving a loop early does not close it, and further calls then wait.
 *
 * @remarks Linux 5.0; ends by itself since 5.9.
 * @see <https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html>
 * @example
 * ```ts
 * const onListener = async (fd: Fd) => {
 *   for await (const call of new SeccompListener(fd)) {
 *     if (call.name === 'mkdirat') call.fail('EROFS')
 *     else call.continue()
 *   }
 * }
 * const program = compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['mkdirat'], action: 'SCMP_ACT_NOTIFY' }] })
 * await spawn({ args: ['mkdir', '/x'], seccomp: { program, onListener } })
 * ```
 */
export class SeccompListener implements AsyncIterable<SeccompNotification> {
  readonly #fd: Fd;
  readonly #watcher: FdWatcher;
  readonly #waiting: Waiter[] = [];

  /** Takes ownership of the descriptor. Only one may receive from it: another one's calls would be missed. */
  constructor(listener: Fd) {
    this.#fd = listener;
    this.#watcher = callNative(
      'watch a seccomp listener',
      (b) =>
        new b.FdWatcher(listener.fd, () => {
          this.#deliver();
        }),
    );
  }

  /** True once it was closed, or no process had the filter any more. */
  get closed(): boolean {
    return this.#fd.closed;
  }

  /** The next call, now; `null` when none waits, `undefined` when there will be none. */
  #receive(): SeccompNotification | null | undefined {
    if (this.#fd.closed) return undefined;
    const notice = callNative('receive a call of a seccomp listener', (b) => b.seccompReceive(this.#fd.fd));
    if (notice === undefined) this.close();
    return notice && new SeccompNotification(notice, () => this.#fd.fd);
  }

  #deliver(): void {
    while (this.#waiting.length > 0) {
      let call: SeccompNotification | null | undefined;
      try {
        call = this.#receive();
      } catch (error) {
        this.#waiting.shift()?.reject(error);
        continue;
      }
      // close() has told them all.
      if (call === undefined) return;
      if (call === null) break;
      this.#waiting.shift()?.resolve({ done: false, value: call });
    }
    if (!this.#fd.closed) this.#watcher.watch(this.#waiting.length > 0, false);
  }

  #next(): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.#fd.closed) return resolve(DONE);
      this.#waiting.push({ resolve, reject });
      // Who came first is served first, at the latest when the descriptor is readable.
      this.#deliver();
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<SeccompNotification, undefined> {
    return { next: () => this.#next(), return: async () => DONE };
  }

  /** Waiting for a call keeps Node's event loop going; the default. */
  ref(): this {
    this.#watcher.setRef(true);
    return this;
  }

  /** Waiting for a call does not keep Node's event loop going. */
  unref(): this {
    this.#watcher.setRef(false);
    return this;
  }

  /** Closes the descriptor: all calls that wait, and all further ones, fail with ENOSYS. A second call does nothing. */
  close(): void {
    if (this.#fd.closed) return;
    this.#watcher.close();
    this.#fd.close();
    for (const { resolve } of this.#waiting.splice(0)) resolve(DONE);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
