// The only file that loads the addon. Types of the binding are written by hand; facts come from C++, sentences are made here.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assertLinux, SyscallError } from '@ctr/internal/errors';
import type { FdOwner } from '@ctr/internal/fd';
import { findNative, loadAddon } from '@ctr/internal/native';

/** native/src/monitor_handle.h */
export interface MonitorHandle {
  pid(): number;
  /** False: the socket is full, wait for onWritable. */
  send(message: Uint8Array, fds: Int32Array): boolean;
  /**
   * send() with pipes that are made for it: -1, -2 and -3 in `fds` stand for the child's ends of a pipe for its standard input, output and
   * error output; this side's come into `ours`, under 0, 1 and 2. False: the socket is full, and nothing was done.
   */
  launch(message: Uint8Array, fds: Int32Array, ours: Int32Array): boolean;
  /** A release (1) or a kill (2) over the lifeline. False: it is full, try again later. */
  order(kind: number, id: number): boolean;
  closeLifeline(): void;
  setRef(ref: boolean): void;
}

/** native/src/fd_watcher.h */
export interface FdWatcher {
  /** What to wait for; nothing when both are false. */
  watch(readable: boolean, writable: boolean): void;
  setRef(ref: boolean): void;
  /** Before the descriptor is closed. */
  close(): void;
}

export interface Binding {
  FdWatcher: new (fd: number, onReady: (readable: boolean, writable: boolean) => void) => FdWatcher;
  MonitorHandle: new (
    program: Uint8Array,
    onMessage: (message: Buffer | null, fd: number) => void,
    onWritable: () => void,
  ) => MonitorHandle;
  /** pidfd_open(2) */
  pidfdOpen(pid: number): number;
  /** pidfd_send_signal(2) */
  pidfdSendSignal(pidfd: number, signal: number): void;
  /** flock(2) */
  flock(fd: number, operation: number): void;
  /** pipe2(2), O_CLOEXEC: [read, write] */
  pipe(): [number, number];
  /** poll(2) of a pidfd: whether the process has ended. */
  pidfdEnded(pidfd: number): boolean;
  /** fcntl(2), F_DUPFD_CLOEXEC */
  dup(fd: number): number;
  /** close(2) of a descriptor that came from here. */
  close(fd: number): void;
  /** Somebody else closes the descriptor from now on. What was neither closed nor released is closed with the environment. */
  release(fd: number): void;
  /** memfd_create(2) and write(2) */
  memfd(bytes: Uint8Array): number;
  /** ioctl(2), TIOCSWINSZ */
  setWindowSize(fd: number, columns: number, rows: number): void;
  /** The version of Landlock's interface; 0: there is none. */
  landlockAbi(): number;
  /** poll(2): whether there is something to read now. */
  readable(fd: number): boolean;
  /** ioctl_ns(2), NS_GET_USERNS: a new descriptor. */
  namespaceOwner(fd: number): number;
  /** NS_GET_PARENT: a new descriptor. */
  namespaceParent(fd: number): number;
  /** NS_GET_NSTYPE: its CLONE_NEW… flag. */
  namespaceType(fd: number): number;
  /** NS_GET_OWNER_UID */
  namespaceOwnerUid(fd: number): number;
  /** socketpair(2), SOCK_SEQPACKET */
  socketPair(): [number, number];
  /** recvmsg(2) without waiting: the descriptors of one message; null: none is there, or the other end is closed. */
  receiveFds(socket: number): number[] | null;
  /** MonitorHandle.launch() over a socket of a parked process. */
  sendProgram(socket: number, message: Uint8Array, fds: Int32Array, ours: Int32Array): boolean;
  /** setsockopt(2), SO_PASSCRED: for receiveFdsFrom. */
  passPid(socket: number): void;
  /** As receiveFds, with the sender's pid as this process sees it. */
  receiveFdsFrom(socket: number): { fds: number[]; pid: number } | null;
  /** struct seccomp_notif; null: none now; undefined: no process has the filter any more. */
  seccompReceive(listener: number): Buffer | null | undefined;
  /** False: the caller does not wait any more. */
  seccompAnswer(listener: number, id: bigint, value: bigint, error: number, flags: number): boolean;
  /** The number there; -1: the caller does not wait any more. `at` -1: the lowest that is free. */
  seccompAddFd(listener: number, id: bigint, source: number, at: number, flags: number, answer: boolean): number;
  /** False: the caller does not wait any more. */
  seccompIsPending(listener: number, id: bigint): boolean;
}

/** dist/ and src/ both lie one step below the package's folder. */
const nativeDir = fileURLToPath(new URL('../native/', import.meta.url));
let loaded: Binding | undefined;
let program: Buffer | undefined;

/** The addon, loaded at the first call. */
export function native(): Binding {
  if (loaded) return loaded;
  assertLinux('@ctr/namespaces');
  loaded = loadAddon<Binding>(nativeDir, 'ctr_namespaces');
  return loaded;
}

/** The bytes of ctr-init, which the monitor runs from memory. */
export function initProgram(): Buffer {
  program ??= readFileSync(findNative(nativeDir, 'ctr-init'));
  return program;
}

/** The owner of descriptors that the addon made. */
export const NATIVE_FDS: FdOwner = {
  close: (fd) => native().close(fd),
  release: (fd) => native().release(fd),
};

export function closeFds(fds: Iterable<number | undefined>): void {
  for (const fd of fds) if (fd !== undefined) NATIVE_FDS.close(fd);
}

/** Runs a native call and says what it was for when it fails. */
export function callNative<T>(doing: string, call: (binding: Binding) => T, hint?: (code: number) => string | undefined): T {
  const binding = native();
  try {
    return call(binding);
  } catch (e) {
    const f = e as { errno?: number; syscall?: string; path?: string };
    if (typeof f.errno !== 'number' || typeof f.syscall !== 'string') throw e;
    throw new SyscallError({ errno: f.errno, syscall: f.syscall, path: f.path, doing }, { hint: hint?.(-f.errno) });
  }
}
