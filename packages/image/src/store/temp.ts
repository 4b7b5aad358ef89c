// Clears what dead processes left unfinished.
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { removeTree } from './files.js';
import type { Layout } from './layout.js';
import { isAlive } from './owner.js';

/** Removes temporary files and leases whose owner is certainly dead; returns how many. Safe while others work. */
export async function sweepLeftovers(layout: Layout): Promise<number> {
  let removed = 0;
  for (const directory of [layout.temp, layout.leases]) {
    for (const name of await readdir(directory)) {
      if (isAlive(name.slice(0, Math.max(0, name.indexOf('.'))))) continue;
      await removeTree(path.join(directory, name));
      removed++;
    }
  }
  return removed;
}
