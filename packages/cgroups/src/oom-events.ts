// Tells when the OOM killer has taken processes of a cgroup: v1 by an eventfd, v2 by inotify on memory.events. The notice
// says that something happened, the counter says what: an event is told when the counter has grown.
import { setTimeout as sleep } from 'node:timers/promises';
import { UnsupportedError } from '@ctr/internal/errors';
import type { Source } from './controllers/controller.js';
import { oomKills } from './controllers/memory.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { Bell, ringOnAbort, watchFiles, watchOomV1 } from './notices.js';
import { sourcesOf } from './stats.js';

/** Processes were killed because memory ran out. */
export interface OomEvent {
  /** How many in all since the cgroup was made. */
  readonly oomKills: number;
  /** How many since the event before, or since watching began. */
  readonly killed: number;
}

/** KERNEL: v1 announces that memory is out before it kills (mem_cgroup_oom_notify), so the counter follows after the notice. */
const SETTLE_MS = [0, 1, 2, 4, 8, 16, 32, 64];

/** The counter once it differs from `before`, or what it is when it has had time to settle; null when the cgroup is gone. */
export async function settledOomKills(source: Source, before: number): Promise<number | null> {
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
  const watching = source.version === 1 ? await watchOomV1(directory, bell.ring) : watchFiles(directory, ['memory.events'], bell.ring);
  const abort = ringOnAbort(signal, bell);
  try {
    let last = oomKills(source) ?? 0;
    for (;;) {
      await bell.heard();
      if (signal.aborted) return;
      const now = await settledOomKills(source, last);
      if (now === null) return;
      if (now > last) yield { oomKills: now, killed: now - last };
      last = now;
    }
  } finally {
    abort.stop();
    watching.stop();
  }
}
