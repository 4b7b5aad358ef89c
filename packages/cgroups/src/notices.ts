// How the kernel tells that something happened in a cgroup: inotify on its files, v1's memory controller by an eventfd.
import { closeSync, constants, type FSWatcher, openSync, watch } from 'node:fs';
import path from 'node:path';
import { syscallErrorFrom } from '@ctr/internal/errors';
import { writeControl } from './kernfs.js';
import { watchEventFd } from './native.js';

export interface Watching {
  stop(): void;
}

/** Notices come while nobody listens, and several are one. */
export class Bell {
  #rung = false;
  #wake: (() => void) | null = null;

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake?.();
  };

  async heard(): Promise<void> {
    if (!this.#rung)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    this.#wake = null;
    this.#rung = false;
  }
}

/** See cgroup-v1/memory.rst, "9. OOM control": "<eventfd> <fd of memory.oom_control>" to cgroup.event_control. */
export async function watchOomV1(directory: string, notice: () => void): Promise<Watching> {
  const event = watchEventFd(notice);
  const control = openSync(`${directory}/memory.oom_control`, constants.O_RDONLY);
  try {
    await writeControl(`${directory}/cgroup.event_control`, `${event.fd} ${control}`);
    return { stop: () => event.close() };
  } catch (error) {
    event.close();
    throw syscallErrorFrom(error, 'watch for out-of-memory notices');
  } finally {
    closeSync(control);
  }
}

/**
 * Files that the kernel announces the changes of (kernfs_notify): memory.events, pids.events, cgroup.events. inotify is
 * silent about the end of a cgroup's own files, but the directory above tells that a name has gone.
 */
export function watchFiles(directory: string, files: readonly string[], notice: () => void): Watching {
  const watchers: FSWatcher[] = [];
  const stop = (): void => {
    for (const w of watchers) w.close();
  };
  try {
    for (const file of files) watchers.push(watch(`${directory}/${file}`, notice));
    watchers.push(watch(path.dirname(directory), (_, name) => name === path.basename(directory) && notice()));
    for (const w of watchers) w.on('error', notice);
    return { stop };
  } catch (error) {
    stop();
    throw syscallErrorFrom(error, 'watch the events of a cgroup', {
      hint: 'fs.inotify.max_user_watches and max_user_instances limit it',
    });
  }
}

/** Rings until the signal fires, then once more. */
export function ringOnAbort(signal: AbortSignal, bell: Bell): Watching {
  signal.addEventListener('abort', bell.ring, { once: true });
  // It may have fired while the watch was being set up.
  if (signal.aborted) bell.ring();
  return { stop: () => signal.removeEventListener('abort', bell.ring) };
}
