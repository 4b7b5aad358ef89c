// The only file that loads the addon, at the first use: an import works on any system.
import { fileURLToPath } from 'node:url';
import { SyscallError } from '@ctr/internal/errors';
import { loadAddon } from '@ctr/internal/native';

/** An eventfd that the event loop watches. */
export interface EventFd {
  /** For cgroup.event_control. */
  readonly fd: number;
  close(): void;
}

interface Binding {
  /** eventfd(2), and a callback for each time it was signalled. Keeps the event loop alive until closed. */
  eventfd(onSignal: () => void): EventFd;
}

let binding: Binding | undefined;

/** Opens an eventfd and calls `onSignal` when the kernel has signalled it. */
export function watchEventFd(onSignal: () => void): EventFd {
  binding ??= loadAddon<Binding>(fileURLToPath(new URL('../native/', import.meta.url)), 'ctr_cgroups');
  try {
    return binding.eventfd(onSignal);
  } catch (error) {
    const { errno, syscall } = error as { errno?: number; syscall?: string };
    if (errno === undefined || syscall === undefined) throw error;
    throw new SyscallError({ errno, syscall, doing: 'wait for an out-of-memory notice' });
  }
}
