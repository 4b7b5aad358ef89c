// Everything that is measured of a cgroup, in one shape for v1 and v2.
import type { Source, Sources } from './controllers/controller.js';
import type { CpuStats } from './controllers/cpu.js';
import type { CpusetStats } from './controllers/cpuset.js';
import { cpu, cpuset, io, memory, pids } from './controllers/index.js';
import type { IoStats } from './controllers/io.js';
import type { MemoryStats } from './controllers/memory.js';
import type { PidsStats } from './controllers/pids.js';
import { tryRead } from './kernfs.js';
import type { CgroupDirectories } from './names.js';

/** What a cgroup uses and has used. A part is null when its controller is not there. */
export interface CgroupStats {
  /** When it was read, in milliseconds since 1970; a CPU percentage is the difference of two. */
  readonly at: number;
  readonly cpu: CpuStats | null;
  readonly memory: MemoryStats | null;
  readonly pids: PidsStats | null;
  readonly io: IoStats | null;
  readonly cpuset: CpusetStats | null;
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
export function readStats(directories: CgroupDirectories): CgroupStats {
  const sources = sourcesOf(directories, tryRead);
  return {
    at: Date.now(),
    cpu: cpu.stats(sources),
    memory: memory.stats(sources),
    pids: pids.stats(sources),
    io: io.stats(sources),
    cpuset: cpuset.stats(sources),
  };
}
