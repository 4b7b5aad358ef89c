// One system call that waits for an answer, and the answers that there are: seccomp_unotify(2).
import { closeSync, openSync, readSync } from 'node:fs';
import { errnoNumber, InvalidArgumentError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { callNative } from '../../native.js';
import { auditArchName, type SyscallConvention, syscallNameOf } from '../../syscalls/index.js';
import { MAX_ERRNO } from '../actions.js';

const CONTINUE = 1;
const O_CLOEXEC = 0o2000000;

/** Where a new descriptor goes in the caller. */
export interface AddFdOptions {
  /** Its number there, which is closed before if it is open; `undefined` means the lowest that is free. */
  at?: number | undefined;
  /** Close it at exec; `undefined` means true. */
  closeOnExec?: boolean | undefined;
}

function errnoOf(error: number | string): number {
  if (typeof error === 'string') {
    try {
      return errnoNumber(error);
    } catch {
      // said below, in the words of this option
    }
  } else if (Number.isInteger(error) && error > 0 && error <= MAX_ERRNO) return error;
  throw new InvalidArgumentError('error', `an errno such as 'EPERM' or 1, at most ${MAX_ERRNO}`, error);
}

/**
 * A system call that waits: exactly one of `continue`, `fail`, `succeed` and `succeedWithFd` answers it, and each returns
 * false (or `undefined`) when nobody waits any more, since the caller was killed or a signal interrupted the call.
 *
 * SECURITY: only the numbers here are what the kernel checked. What a pointer shows may change at any moment, by another
 * thread, between the look and the kernel's own: so `continue` is no way to permit a call by what its pointers show. Do
 * the thing yourself and answer with its result.
 * @see <https://man7.org/linux/man-pages/man2/seccomp_unotify.2.html>
 */
export class SeccompNotification {
  /** Of this call alone, also over several listeners. */
  readonly id: bigint;
  /** The thread, in the pid namespace of this process; 0 when it cannot be seen from here. */
  readonly pid: number;
  /** The calling convention; `undefined` for one that is not known here. */
  readonly arch: SyscallConvention | undefined;
  /** The number of the call. */
  readonly nr: number;
  /** Its name; `undefined` for a number that Linux 6.18 does not use. */
  readonly name: string | undefined;
  /** All six, unsigned; what the call does not take is rubbish. */
  readonly args: readonly bigint[];
  /** Where in its program the caller is. */
  readonly instructionPointer: bigint;
  readonly #listener: () => number;

  /** @internal */
  constructor(notice: Buffer, listener: () => number) {
    this.#listener = listener;
    this.id = notice.readBigUInt64LE(0);
    this.pid = notice.readUInt32LE(8);
    this.nr = notice.readInt32LE(16);
    this.arch = auditArchName(notice.readUInt32LE(20), this.nr);
    this.name = this.arch && syscallNameOf(this.nr, this.arch);
    this.instructionPointer = notice.readBigUInt64LE(24);
    this.args = Array.from({ length: 6 }, (_, i) => notice.readBigUInt64LE(32 + 8 * i));
  }

  get #what(): string {
    return `answer ${this.name ?? `call ${this.nr}`} of process ${this.pid}`;
  }

  /** Whether the caller still waits. Ask after every look at it by its pid, which may have become another process's. */
  get pending(): boolean {
    return callNative(this.#what, (b) => b.seccompIsPending(this.#listener(), this.id));
  }

  #answer(value: bigint, error: number, flags: number): boolean {
    return callNative(this.#what, (b) => b.seccompAnswer(this.#listener(), this.id, value, error, flags));
  }

  /** Lets the kernel do the call. Linux 5.5. */
  continue(): boolean {
    return this.#answer(0n, 0, CONTINUE);
  }

  /**
   * The call fails.
   * @param error Its name, such as 'EPERM', or number.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for what is no errno.
   */
  fail(error: number | string): boolean {
    return this.#answer(0n, -errnoOf(error), 0);
  }

  /** The call was done, by this process, and returns this; `undefined` means 0. */
  succeed(value: number | bigint = 0): boolean {
    return this.#answer(BigInt.asIntN(64, BigInt(value)), 0, 0);
  }

  #add(fd: Fd, o: AddFdOptions, answer: boolean): number | undefined {
    const { at = -1, closeOnExec = true } = o;
    if (!Number.isInteger(at) || at < -1) throw new InvalidArgumentError('at', 'the number of a descriptor', at);
    const there = callNative(this.#what, (b) => b.seccompAddFd(this.#listener(), this.id, fd.fd, at, closeOnExec ? O_CLOEXEC : 0, answer));
    return there < 0 ? undefined : there;
  }

  /**
   * Puts a copy of a descriptor into the caller; it still waits for its answer. Linux 5.9.
   * @returns The number there; `undefined` when nobody waits any more.
   */
  addFd(fd: Fd, options: AddFdOptions = {}): number | undefined {
    return this.#add(fd, options, false);
  }

  /**
   * Puts a copy of a descriptor into the caller, and the call returns its number: at once, so that none is left there when
   * the caller is interrupted in between. Linux 5.14.
   * @returns The number there; `undefined` when nobody waits any more.
   */
  succeedWithFd(fd: Fd, options: AddFdOptions = {}): number | undefined {
    return this.#add(fd, options, true);
  }

  /**
   * Reads the caller's memory, for what an argument points to.
   * @returns What could be read, at most `length` bytes; `undefined` when nobody waits any more.
   * @throws Node's own error EACCES when this process may not look into that one (ptrace(2), PTRACE_MODE_ATTACH; an ordinary user
   * may not before the first execve is done), EIO for an address that it does not have.
   */
  readMemory(address: bigint, length: number): Buffer | undefined {
    const buffer = Buffer.alloc(length);
    let fd: number;
    try {
      fd = openSync(`/proc/${this.pid}/mem`, 'r');
    } catch (error) {
      if (!this.pending) return undefined;
      throw error;
    }
    try {
      // Only now is it certain whose memory was opened.
      if (!this.pending) return undefined;
      return buffer.subarray(0, readSync(fd, buffer, 0, length, address));
    } finally {
      closeSync(fd);
    }
  }

  /**
   * Reads a C string of the caller, such as a path.
   * @param most Bytes; `undefined` means 4096, PATH_MAX.
   * @returns The text; `undefined` when nobody waits any more, or when no end was found.
   * @throws as readMemory.
   */
  readString(address: bigint, most = 4096): string | undefined {
    const chunks: Buffer[] = [];
    const page = 4096n;
    for (let at = address, left = most; left > 0; ) {
      // Not over the end of a page at once: the next one may not be there.
      const chunk = this.readMemory(at, Math.min(left, Number(page - (at % page))));
      if (chunk === undefined || chunk.length === 0) return undefined;
      const end = chunk.indexOf(0);
      chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
      if (end >= 0) return Buffer.concat(chunks).toString();
      at += BigInt(chunk.length);
      left -= chunk.length;
    }
    return undefined;
  }
}
