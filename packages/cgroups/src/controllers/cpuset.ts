// On which CPUs and memory nodes it may run. v1 and v2 have the same files for limits.
import type { Resources } from '../resources.js';
import { type Controller, given, onlyV2, type Place, type Rendered, setting } from './controller.js';

/** The CPUs and memory nodes that really apply, as in '0-3,6'. */
export interface CpusetStats {
  readonly cpus: string;
  readonly mems: string;
}

function render(r: Resources, place: Place): Rendered[] {
  const out: Rendered[] = [];
  const put = (option: 'cpusetCpus' | 'cpusetMems', file: string): void => {
    const value = r[option];
    if (value === undefined) return;
    // v1 wants the list of the cgroup above, which update() puts here; an empty one would stop every process.
    const lift = place.version === 1 ? [] : setting(place, { option, controller: 'cpuset', file, value: null, none: '\n', feature: '' });
    out.push(...(value === null ? lift : [{ option, controller: 'cpuset', file, value } as const]));
  };
  put('cpusetCpus', 'cpuset.cpus');
  put('cpusetMems', 'cpuset.mems');
  return r.cpusetPartition === undefined ? out : [...out, ...partition(r.cpusetPartition, place)];
}

function partition(value: string | null, place: Place): Rendered[] {
  const feature = 'CPUs of its own (cpusetPartition)';
  if (place.version === 1) return value === null ? [] : [onlyV2('cpusetPartition', feature, 'cpuset')];
  return setting(place, {
    option: 'cpusetPartition',
    controller: 'cpuset',
    file: 'cpuset.cpus.partition',
    value,
    none: 'member',
    feature,
  });
}

/** The file with what really applies. */
export const effectiveFile = (version: 1 | 2, what: 'cpus' | 'mems'): string =>
  version === 1 ? `cpuset.effective_${what}` : `cpuset.${what}.effective`;

export const cpuset: Controller<CpusetStats> = {
  name: 'cpuset',
  options: ['cpusetCpus', 'cpusetMems', 'cpusetPartition'],
  render,
  collected: () => [],
  stats: (sources) => {
    const s = sources('cpuset');
    const cpus = s?.read(effectiveFile(s.version, 'cpus')) ?? null;
    if (s === null || cpus === null) return null;
    return { cpus: cpus.trim(), mems: (s.read(effectiveFile(s.version, 'mems')) ?? '').trim() };
  },
  limits: (sources) => {
    const s = sources('cpuset');
    const text = (file: string): string | null => s?.read(file)?.trim() || null;
    // 'isolated invalid (…)' when the kernel could not make it one.
    const partition = text('cpuset.cpus.partition');
    return given<Resources>({
      cpusetCpus: text('cpuset.cpus'),
      cpusetMems: text('cpuset.mems'),
      cpusetPartition: partition === 'root' || partition === 'isolated' ? partition : null,
    });
  },
};
