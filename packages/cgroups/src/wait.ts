// Waiting for the kernel: by inotify where it announces the change (v2's cgroup.events), by looking again where it does not (v1).
import { type FSWatcher, watch } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errnoNumber, SyscallError } from '@ctr/internal/errors';
import { codeOf } from './kernfs.js';

/** After this long, freezing or killing is said to have failed: processes hang in the kernel (state D). */
export const PATIENCE_MS = 10_000;

export interface Wait {
  /** For the message when time is up. */
  readonly doing: string;
  readonly directory: string;
  readonly hint: string;
  /** Default: {@link PATIENCE_MS}. */
  readonly patienceMs?: number | undefined;
}

export const timedOut = ({ doing, directory, hint }: Wait): SyscallError =>
  new SyscallError({ errno: errnoNumber('ETIMEDOUT'), syscall: 'poll', path: directory, doing }, { hint });

/** Looks at growing intervals, 1 to 20 ms. */
export async function pollUntil(done: () => boolean | Promise<boolean>, wait: Wait): Promise<void> {
  const end = performance.now() + (wait.patienceMs ?? PATIENCE_MS);
  for (let ms = 1; !(await done()); ms = Math.min(ms * 2, 20)) {
    if (performance.now() > end) throw timedOut(wait);
    await sleep(ms);
  }
}

/** Looks whenever the kernel says that `file` changed (kernfs_notify); a file that goes away has changed too. */
export async function watchUntil(file: string, done: () => boolean, wait: Wait): Promise<void> {
  if (done()) return;
  let watcher: FSWatcher;
  try {
    watcher = watch(file);
  } catch (error) {
    // Out of inotify watches or instances (ENOSPC, EMFILE), or gone: looking does it too.
    if (!['ENOSPC', 'EMFILE', 'ENOENT', 'ENODEV'].includes(codeOf(error) ?? '')) throw error;
    return pollUntil(done, wait);
  }
  await new Promise<void>((resolve, reject) => {
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      watcher.close();
      settle();
    };
    const timer = setTimeout(() => finish(() => reject(timedOut(wait))), wait.patienceMs ?? PATIENCE_MS);
    const look = (): void => {
      try {
        if (done()) finish(resolve);
      } catch (error) {
        finish(() => reject(error));
      }
    };
    watcher.on('change', look);
    watcher.on('error', (error) => finish(() => reject(error)));
    // The change may have come between the first look and the watch.
    look();
  });
}
