// On which CPUs and memory nodes it may run. v1 and v2 have the same files for limits.
import type { Resources } from '../resources.js';
import type { Controller, Rendered } from './controller.js';

/** The CPUs and memory nodes that really apply, as in '0-3,6'. */
export interface CpusetStats {
  readonly cpus: string;
  readonly mems: string;
}

function render(r: Resources): Rendered[] {
  const out: Rendered[] = [];
  if (r.cpusetCpus !== undefined) out.push({ option: 'cpusetCpus', controller: 'cpuset', file: 'cpuset.cpus', value: r.cpusetCpus });
  if (r.cpusetMems !== undefined) out.push({ option: 'cpusetMems', controller: 'cpuset', file: 'cpuset.mems', value: r.cpusetMems });
  return out;
}

/** The file with what really applies. */
export const effectiveFile = (version: 1 | 2, what: 'cpus' | 'mems'): string =>
  version === 1 ? `cpuset.effective_${what}` : `cpuset.${what}.effective`;

export const cpuset: Controller<CpusetStats> = {
  name: 'cpuset',
  options: ['cpusetCpus', 'cpusetMems'],
  render,
  collected: () => [],
  stats: (sources) => {
    const s = sources('cpuset');
    const cpus = s?.read(effectiveFile(s.version, 'cpus')) ?? null;
    if (s === null || cpus === null) return null;
    return { cpus: cpus.trim(), mems: (s.read(effectiveFile(s.version, 'mems')) ?? '').trim() };
  },
};
