// How many processes of a cgroup the OOM killer has taken: one small file.
import { oomKills as parse } from './controllers/memory.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { sourcesOf } from './stats.js';

/**
 * Counts the processes that the OOM killer has taken since the cgroup was made; 0 without a memory controller, and once the
 * cgroup is gone. Reads one file of the kernel's, at once.
 *
 * @param directories of {@link describeCgroup}
 * @example
 * ```ts
 * if (oomKills(cgroup.directories) > 0) console.error('out of memory')
 * ```
 */
export function oomKills(directories: CgroupDirectories): number {
  return parse(sourcesOf(directories, tryRead)('memory')) ?? 0;
}
