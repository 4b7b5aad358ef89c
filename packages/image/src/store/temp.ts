// Clears what dead processes left unfinished.
import { readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { throwIfAborted } from '../abort.js';
import { removeTree } from './files.js';
import type { Layout } from './layout.js';
import { isLive } from './leases.js';
import { withLock } from './lock.js';
import { isAlive } from './owner.js';

/** Removes temporary files, leases and locks whose owner is certainly dead; returns how many. Safe while others work. */
export async function sweepLeftovers(layout: Layout, signal: AbortSignal = new AbortController().signal): Promise<number> {
  let removed = 0;
  const [names = [], leases = [], locks = []] = await Promise.all([layout.temp, layout.leases, layout.locks].map((d) => readdir(d)));
  for (const [directory, found] of [
    [layout.temp, names],
    [layout.leases, leases],
  ] as const) {
    for (const name of found) {
      throwIfAborted(signal, 'clear the image store of what dead processes left');
      const owned = directory === layout.leases ? isLive(directory, name) : isAlive(name.slice(0, Math.max(0, name.indexOf('.'))));
      if (await owned) continue;
      await removeTree(path.join(directory, name));
      removed++;
    }
  }
  return removed + (await breakDeadLocks(layout, locks));
}

/** Taking a lock breaks that of a dead owner, by the rules that make it safe; giving it back leaves nothing. */
async function breakDeadLocks(layout: Layout, names: readonly string[]): Promise<number> {
  let broken = 0;
  for (const name of names) {
    const holder = await readlink(path.join(layout.locks, name)).catch(() => undefined);
    if (holder === undefined || isAlive(holder.slice(0, Math.max(0, holder.indexOf('.'))))) continue;
    await withLock(layout.locks, name, async () => undefined);
    broken++;
  }
  return broken;
}
