// Everything that is measured of a cgroup, in one shape for v1 and v2.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { parseFlat, type Source, type Sources } from './controllers/controller.js';
import type { CpuStats } from './controllers/cpu.js';
import type { CpusetStats } from './controllers/cpuset.js';
import type { HugetlbStats } from './controllers/hugetlb.js';
import { cpu, cpuset, hugetlb, io, memory, misc, pids, rdma } from './controllers/index.js';
import type { IoStats } from './controllers/io.js';
import type { MemoryStats } from './controllers/memory.js';
import type { PidsStats } from './controllers/pids.js';
import type { RdmaStats } from './controllers/rdma.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';
import { type PressureStats, pressureStats } from './pressure-stats.js';

/** What cgroup2 tells of the cgroup itself. */
export interface StateStats {
  /** Whether a live process is in it or below. */
  readonly populated: boolean;
  /** Whether every process has come to a stop. */
  readonly frozen: boolean;
  /** Cgroups below it. */
  readonly descendants: number;
  /** Cgroups below it that were removed and are still held by memory that they used. */
  readonly dyingDescendants: number;
}

/** What a cgroup uses and has used. A part is null when its controller is not there, or when it was not asked for. */
export interface CgroupStats {
  /** When it was read, in milliseconds since 1970; a CPU percentage is the difference of two. */
  readonly at: number;
  readonly cpu: CpuStats | null;
  readonly memory: MemoryStats | null;
  readonly pids: PidsStats | null;
  readonly io: IoStats | null;
  readonly cpuset: CpusetStats | null;
  /** By page size, as '2MB'. */
  readonly hugetlb: Readonly<Record<string, HugetlbStats>> | null;
  /** By device. */
  readonly rdma: Readonly<Record<string, RdmaStats>> | null;
  /** In use, by resource. */
  readonly misc: Readonly<Record<string, number>> | null;
  /** Needs cgroup2 (also beside v1 controllers) and a kernel with PSI. */
  readonly pressure: PressureStats | null;
  /** Needs cgroup2. */
  readonly state: StateStats | null;
}

/** A part of {@link CgroupStats}. */
export type StatsPart = Exclude<keyof CgroupStats, 'at'>;

/** What {@link Cgroup.stats} may be told. */
export interface StatsOptions {
  /** The parts to read; each costs one to six small files. Default: all. */
  readonly only?: readonly StatsPart[] | undefined;
}

function stateStats(unified: Source | null): StateStats | null {
  const events = unified?.read('cgroup.events') ?? null;
  if (unified === null || events === null) return null;
  const now = parseFlat(events);
  const stat = parseFlat(unified.read('cgroup.stat'));
  return {
    populated: now['populated'] === 1,
    frozen: now['frozen'] === 1,
    descendants: stat['nr_descendants'] ?? 0,
    dyingDescendants: stat['nr_dying_descendants'] ?? 0,
  };
}

const PARTS: { readonly [P in StatsPart]: (sources: Sources) => CgroupStats[P] } = {
  cpu: cpu.stats,
  memory: memory.stats,
  pids: pids.stats,
  io: io.stats,
  cpuset: cpuset.stats,
  hugetlb: hugetlb.stats,
  rdma: rdma.stats,
  misc: misc.stats,
  pressure: (sources) => pressureStats(sources('unified')),
  state: (sources) => stateStats(sources('unified')),
};

const ALL = Object.keys(PARTS) as StatsPart[];

/** Refuses parts that there are none of. */
export function checkParts(only: unknown, path = 'options.only'): void {
  if (only === undefined) return;
  if (!Array.isArray(only)) throw new InvalidArgumentError(path, `a list of ${ALL.join(', ')}`, only);
  for (const [i, part] of only.entries())
    if (!ALL.includes(part)) throw new InvalidArgumentError(`${path}[${i}]`, `one of ${ALL.join(', ')}`, part);
}

/** The files of a cgroup by controller; `read` gives null for what is not there. */
export const sourcesOf =
  (directories: CgroupDirectories, read: (file: string) => string | null): Sources =>
  (controller): Source | null => {
    const directory = directories[controller];
    if (directory === undefined) return null;
    return { version: directory === directories['unified'] ? 2 : 1, read: (file) => read(`${directory}/${file}`) };
  };

/** Reads the files now. */
export function readStats(directories: CgroupDirectories, only: readonly StatsPart[] = ALL): CgroupStats {
  const sources = sourcesOf(directories, tryRead);
  const stats: Record<string, unknown> = { at: Date.now() };
  for (const part of ALL) stats[part] = only.includes(part) ? PARTS[part](sources) : null;
  return stats as unknown as CgroupStats;
}
