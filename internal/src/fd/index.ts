// The currency of the packages: an owned file descriptor.
import { closeSync } from 'node:fs';

const BRAND = Symbol.for('ctr.Fd');

/**
 * The numbers, by object. Not a private field: each package carries its own copy of this class, and a private field would make
 * their types strangers to each other.
 */
const numbers = new WeakMap<object, number>();

/**
 * An open file descriptor with an owner: a pidfd, a cgroup directory, a namespace, a detached mount, a pipe end.
 * Always close-on-exec. Release it with `using`, `close()` or hand it on with `release()`.
 *
 * @example
 * ```ts
 * using ns = Fd.of(openSync('/proc/self/ns/net', 'r'))
 * ```
 */
export class Fd {
  constructor(fd: number) {
    if (!Number.isInteger(fd) || fd < 0) throw new TypeError(`not a file descriptor: ${fd}`);
    numbers.set(this, fd);
  }

  /** Takes ownership of a descriptor number. */
  static of(fd: number): Fd {
    return new Fd(fd);
  }

  /** True for an Fd of any loaded copy of the packages. */
  static is(value: unknown): value is Fd {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
  }

  /** The number; throws when it was closed or released, so that a stale number is never used. */
  get fd(): number {
    const fd = numbers.get(this);
    if (fd === undefined) throw new Error('this file descriptor was closed');
    return fd;
  }

  /** True once closed or released. */
  get closed(): boolean {
    return !numbers.has(this);
  }

  /** Gives the number away: the caller closes it. */
  release(): number {
    const { fd } = this;
    numbers.delete(this);
    return fd;
  }

  /** Closes it; a second call does nothing. */
  close(): void {
    if (this.closed) return;
    closeSync(this.release());
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

Object.defineProperty(Fd.prototype, BRAND, { value: true });
