// How a listener's descriptor comes from the process that loaded the filter: over a socket of this start alone.
import { Fd } from '@ctr/internal/fd';
import { callNative, type FdWatcher, NATIVE_FDS, native } from '../../native.js';

/** The other end of the way that a listener's descriptor takes to here. */
export interface ListenerReceiver {
  /** For the plan; the caller closes it. */
  readonly theirs: number;
  /** Takes what has come. After the start nothing comes any more. */
  finish(): void;
}

/** Waits for the descriptor that native/init/listener.cc sends, and gives it to `onListener`. */
export function receiveListener(onListener: (listener: Fd) => void): ListenerReceiver {
  const [ours, theirs] = callNative('make the socket of the seccomp listener', (b) => b.socketPair());
  let open = true;
  let watcher: FdWatcher | undefined;
  const finish = (): void => {
    if (!open) return;
    open = false;
    watcher?.close();
    let fds: number[] = [];
    try {
      fds = native().receiveFds(ours) ?? [];
    } catch {
      // Nothing has come: the start failed before, and says why.
    }
    native().close(ours);
    const [listener, ...others] = fds;
    for (const fd of others) native().close(fd);
    // As an event: what it throws is the program's uncaught exception, not a failed start.
    if (listener !== undefined) queueMicrotask(() => onListener(Fd.of(listener, NATIVE_FDS)));
  };
  try {
    watcher = callNative('watch the socket of the seccomp listener', (b) => new b.FdWatcher(ours, finish));
    watcher.watch(true, false);
  } catch (error) {
    for (const fd of [ours, theirs]) native().close(fd);
    throw error;
  }
  return { theirs, finish };
}
