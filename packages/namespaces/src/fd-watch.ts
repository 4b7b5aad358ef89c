// Waits until a descriptor is readable, such as a pidfd whose process has ended.
import { callNative, closeFds, type FdWatcher } from './native.js';

/** A wait lasts as long as somebody is told, whether or not its maker is still in use. */
const waiting = new Set<FdWatch>();

/** Tells once, and keeps the event loop going until then. */
export class FdWatch {
  readonly #fd: number;
  readonly #watcher: FdWatcher;

  /** Watches a copy: libuv wants each number once in a loop, and the caller may close his own. @throws SyscallError */
  constructor(doing: string, fd: number, onReadable: () => void) {
    this.#fd = callNative(doing, (b) => b.dup(fd));
    try {
      this.#watcher = callNative(doing, (b) => {
        return new b.FdWatcher(this.#fd, () => {
          this.close();
          onReadable();
        });
      });
    } catch (error) {
      closeFds([this.#fd]);
      throw error;
    }
    this.#watcher.watch(true, false);
    waiting.add(this);
  }

  setRef(ref: boolean): void {
    this.#watcher.setRef(ref);
  }

  /** It will not tell any more. */
  close(): void {
    if (!waiting.delete(this)) return;
    this.#watcher.close();
    closeFds([this.#fd]);
  }
}
