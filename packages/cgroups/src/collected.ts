// What the launcher read of a cgroup after its last process, in numbers.

import { parseNumber } from './controllers/controller.js';
import type { CpuStats } from './controllers/cpu.js';
import { cpu } from './controllers/index.js';
import { memoryPeak, oomKills } from './controllers/memory.js';
import { pidsLimitHits } from './controllers/pids.js';
import type { CgroupDirectories } from './names.js';
import { sourcesOf } from './stats.js';

/** What happened in a cgroup, from its birth to its end. */
export interface CollectedStats {
  /** Processes that the OOM killer took, for whatever limit; 0 also where there is no memory controller. */
  readonly oomKills: number;
  /** The most memory in use, in bytes; null when it cannot be told. */
  readonly memoryPeakBytes: number | null;
  /** CPU time of all its processes; null when it cannot be told. */
  readonly cpuUsageMs: number | null;
  /** How long its limit held it back; null when it cannot be told. */
  readonly throttledMs: number | null;
  /** How often a fork failed at the limit; null when it cannot be told. */
  readonly pidsLimitHits: number | null;
  /** The most processes and threads at once; null when it cannot be told. */
  readonly pidsPeak: number | null;
}

/** Null where only half of the files is there: 0 would be a claim. */
function cpuOf(
  stats: CpuStats | null,
  has: (controller: string, file: string) => boolean,
): Pick<CollectedStats, 'cpuUsageMs' | 'throttledMs'> {
  const usage = has('cpuacct', 'cpuacct.usage') || has('unified', 'cpu.stat');
  const throttled = has('cpu', 'cpu.stat');
  return { cpuUsageMs: usage ? (stats?.usageMs ?? null) : null, throttledMs: throttled ? (stats?.throttledMs ?? null) : null };
}

/**
 * Reads the files that {@link CgroupDescription.collect} sent back. Pure; a file that is missing makes its number null.
 *
 * @param files by path, as `(await process.exited).files`
 * @param directories of {@link describeCgroup}
 * @example
 * ```ts
 * const exit = await child.exited
 * if (parseCollected(exit.files, cgroup.directories).oomKills > 0) console.error('out of memory')
 * ```
 */
export function parseCollected(files: ReadonlyMap<string, string>, directories: CgroupDirectories): CollectedStats {
  const sources = sourcesOf(directories, (file) => files.get(file) ?? null);
  const has = (controller: string, file: string): boolean => files.has(`${directories[controller]}/${file}`);
  const memory = sources('memory');
  const pids = sources('pids');
  return {
    oomKills: oomKills(memory) ?? 0,
    memoryPeakBytes: memoryPeak(memory),
    ...cpuOf(cpu.stats(sources), has),
    pidsLimitHits: pidsLimitHits(pids),
    pidsPeak: parseNumber(pids?.read('pids.peak') ?? null),
  };
}
