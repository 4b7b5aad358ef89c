// The currency of the packages: an owned file descriptor.
import { closeSync } from 'node:fs';

const BRAND = Symbol.for('ctr.Fd');

/** Who closes a descriptor: node:fs, or the addon that made it, since Node warns in worker threads when it closes what it did not open. */
export interface FdOwner {
  close(fd: number): void;
  /** The number was given away. */
  release?(fd: number): void;
}

const NODE: FdOwner = { close: closeSync };

/**
 * The numbers, by object. Not a private field: each package carries its own copy of this class, and a private field would make
 * their types strangers to each other.
 */
const numbers = new WeakMap<object, { fd: number; owner: FdOwner }>();

function held(of: object): { fd: number; owner: FdOwner } {
  const known = numbers.get(of);
  if (known === undefined) throw new Error('this file descriptor was closed');
  return known;
}

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
  constructor(fd: number, owner: FdOwner = NODE) {
    if (!Number.isInteger(fd) || fd < 0) throw new TypeError(`not a file descriptor: ${fd}`);
    numbers.set(this, { fd, owner });
  }

  /** Takes ownership of a descriptor number; `owner` is for numbers that node:fs did not open. */
  static of(fd: number, owner?: FdOwner): Fd {
    return new Fd(fd, owner);
  }

  /** True for an Fd of any loaded copy of the packages. */
  static is(value: unknown): value is Fd {
    return typeof value === 'object' && value !== null && (value as Record<symbol, unknown>)[BRAND] === true;
  }

  /** The number; throws when it was closed or released, so that a stale number is never used. */
  get fd(): number {
    return held(this).fd;
  }

  /** True once closed or released. */
  get closed(): boolean {
    return !numbers.has(this);
  }

  /** Gives the number away: the caller closes it. */
  release(): number {
    const { fd, owner } = held(this);
    numbers.delete(this);
    owner.release?.(fd);
    return fd;
  }

  /** Closes it; a second call does nothing. */
  close(): void {
    if (this.closed) return;
    const { fd, owner } = held(this);
    numbers.delete(this);
    owner.close(fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

Object.defineProperty(Fd.prototype, BRAND, { value: true });
