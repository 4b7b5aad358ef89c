// How a listener's descriptor comes from the process that loaded the filter: over a socket of this start alone.
import { Fd } from '@ctr/internal/fd';
import { callNative, type FdWatcher, NATIVE_FDS, native } from '../../native.js';
import type { SeccompFilter } from '../load.js';

/** The other end of the way that a listener's descriptor takes to here. */
export interface ListenerReceiver {
  /** For the plan; the caller closes it. */
  readonly theirs: number;
  /** Takes what has come. After the start nothing comes any more. */
  finish(): void;
}

/** Waits for the descriptor that native/init/listener.cc sends, and gives it to `onListener`. */
export function receiveListener(onListener: NonNullable<SeccompFilter['onListener']>): ListenerReceiver {
  const [ours, theirs] = callNative('make the socket of the seccomp listener', (b) => b.socketPair());
  let open = true;
  let watcher: FdWatcher | undefined;
  const finish = (): void => {
    if (!open) return;
    open = false;
    watcher?.close();
    let got: { fds: number[]; pid: number } | null = null;
    try {
      got = native().receiveFdsFrom(ours);
    } catch {
      // Nothing has come: the start failed before, and says why.
    }
    native().close(ours);
    const [listener, ...others] = got?.fds ?? [];
    const pid = got?.pid ?? 0;
    for (const fd of others) native().close(fd);
    // As an event: what it throws is the program's uncaught exception, not a failed start.
    if (listener !== undefined) queueMicrotask(() => onListener(Fd.of(listener, NATIVE_FDS), { pid }));
  };
  try {
    callNative('make the socket of the seccomp listener', (b) => b.passPid(ours));
    watcher = callNative('watch the socket of the seccomp listener', (b) => new b.FdWatcher(ours, finish));
    watcher.watch(true, false);
  } catch (error) {
    for (const fd of [ours, theirs]) native().close(fd);
    throw error;
  }
  return { theirs, finish };
}
