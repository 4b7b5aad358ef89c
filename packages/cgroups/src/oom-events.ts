// Tells when the OOM killer has taken processes of a cgroup: v1 by an eventfd, v2 by inotify on memory.events. The notice
// says that something happened, the counter says what: an event is told when the counter has grown.
import { closeSync, constants, type FSWatcher, openSync, watch } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import type { Source } from './controllers/controller.js';
import { oomKills } from './controllers/memory.js';
import { tryRead, writeControl } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { watchEventFd } from './native.js';
import { sourcesOf } from './stats.js';

/** Processes were killed because memory ran out. */
export interface OomEvent {
  /** How many in all since the cgroup was made. */
  readonly oomKills: number;
  /** How many since the event before, or since watching began. */
  readonly killed: number;
}

interface Watching {
  stop(): void;
}

/** KERNEL: v1 announces that memory is out before it kills (mem_cgroup_oom_notify), so the counter follows after the notice. */
const SETTLE_MS = [0, 1, 2, 4, 8, 16, 32, 64];

/** See cgroup-v1/memory.rst, "9. OOM control": "<eventfd> <fd of memory.oom_control>" to cgroup.event_control. */
async function watchV1(directory: string, notice: () => void): Promise<Watching> {
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

/** inotify is silent about the end of a cgroup's own files, but the directory above tells that a name has gone. */
async function watchV2(directory: string, notice: () => void): Promise<Watching> {
  const watchers: FSWatcher[] = [];
  const stop = (): void => {
    for (const w of watchers) w.close();
  };
  try {
    watchers.push(watch(`${directory}/memory.events`, notice));
    watchers.push(watch(path.dirname(directory), (_, name) => name === path.basename(directory) && notice()));
    for (const w of watchers) w.on('error', notice);
    return { stop };
  } catch (error) {
    stop();
    throw syscallErrorFrom(error, 'watch for out-of-memory notices', {
      hint: 'fs.inotify.max_user_watches and max_user_instances limit it',
    });
  }
}

/** One notice at a time, and those that come meanwhile are one. */
class Bell {
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

/** The counter once it differs from `before`, or what it is when it has had time to settle; null when the cgroup is gone. */
async function settled(source: Source, before: number): Promise<number | null> {
  let now = oomKills(source);
  for (const ms of source.version === 1 ? SETTLE_MS : []) {
    if (now === null || now > before) break;
    await sleep(ms);
    now = oomKills(source);
  }
  return now;
}

/** Ends when `signal` fires or the cgroup is gone. */
export async function* oomEvents(directories: CgroupDirectories, signal: AbortSignal): AsyncGenerator<OomEvent, void, undefined> {
  const source = sourcesOf(directories, tryRead)('memory');
  const directory = directories['memory'];
  if (source === null || directory === undefined)
    throw new UnsupportedError('out-of-memory notices', 'a cgroup with the memory controller', 'a cgroup without it');
  if (signal.aborted) return;
  const bell = new Bell();
  const watching = await (source.version === 1 ? watchV1 : watchV2)(directory, bell.ring);
  signal.addEventListener('abort', bell.ring, { once: true });
  // It may have fired while the watch was being set up.
  if (signal.aborted) bell.ring();
  try {
    let last = oomKills(source) ?? 0;
    for (;;) {
      await bell.heard();
      if (signal.aborted) return;
      const now = await settled(source, last);
      if (now === null) return;
      if (now > last) yield { oomKills: now, killed: now - last };
      last = now;
    }
  } finally {
    signal.removeEventListener('abort', bell.ring);
    watching.stop();
  }
}
