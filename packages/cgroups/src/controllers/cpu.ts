// CPU time: limit, weight, usage. v1 counts time in a controller of its own, cpuacct.
import type { Resources } from '../resources.js';
import { type Controller, noFile, parseFlat, parseLimit, parseNumber, type Rendered, type Source, type Sources } from './controller.js';

/** CPU time used, in milliseconds, and how often the limit held it back. */
export interface CpuStats {
  readonly usageMs: number;
  readonly userMs: number;
  readonly systemMs: number;
  /** Periods of 100 ms in which something ran while there was a limit. */
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledMs: number;
  /** The limit in cores; null when there is none. */
  readonly limitCpus: number | null;
}

/** The kernel's own default, of v1 and v2. A limit of 0.01 cores is 1 ms of it, the least the kernel takes. */
const PERIOD_US = 100_000;

/**
 * v1's shares for v2's weight. The scheduler itself takes weight * 1024 / 100 (sched_weight_from_cgroup in
 * kernel/sched/sched.h), so that 100 is what a cgroup has without being asked: 1024 shares. Cut at v1's bounds of 2 and 262144.
 */
export const sharesFromWeight = (weight: number): number => Math.max(2, Math.min(262_144, Math.round((weight * 1024) / 100)));

function render(r: Resources, place: { version: 1 | 2; has(file: string): boolean }): Rendered[] {
  const out: Rendered[] = [];
  const limit = (option: 'cpus' | 'cpuWeight', file: string, value: string): Rendered =>
    place.has(file) ? { option, controller: 'cpu', file, value } : noFile(`a CPU ${option === 'cpus' ? 'limit' : 'weight'}`, file);
  if (r.cpus !== undefined) {
    const quota = Math.round(r.cpus * PERIOD_US);
    // v1: the period is PERIOD_US from birth, so only the quota is written.
    out.push(place.version === 1 ? limit('cpus', 'cpu.cfs_quota_us', `${quota}`) : limit('cpus', 'cpu.max', `${quota} ${PERIOD_US}`));
  }
  if (r.cpuWeight !== undefined)
    out.push(
      place.version === 1
        ? limit('cpuWeight', 'cpu.shares', `${sharesFromWeight(r.cpuWeight)}`)
        : limit('cpuWeight', 'cpu.weight', `${r.cpuWeight}`),
    );
  return out;
}

function statsV1(sources: Sources): CpuStats | null {
  const v1 = (controller: string): Source | null => {
    const source = sources(controller);
    return source?.version === 1 ? source : null;
  };
  const account = v1('cpuacct');
  const usage = parseNumber(account?.read('cpuacct.usage') ?? null);
  const cpu = v1('cpu');
  const stat = parseFlat(cpu?.read('cpu.stat') ?? null);
  if (usage === null && stat['nr_periods'] === undefined) return null;
  const ms = (file: string): number => (parseNumber(account?.read(file) ?? null) ?? 0) / 1e6;
  const quota = parseLimit(cpu?.read('cpu.cfs_quota_us') ?? null);
  const period = parseNumber(cpu?.read('cpu.cfs_period_us') ?? null) ?? PERIOD_US;
  return {
    usageMs: (usage ?? 0) / 1e6,
    userMs: ms('cpuacct.usage_user'),
    systemMs: ms('cpuacct.usage_sys'),
    periods: stat['nr_periods'] ?? 0,
    throttledPeriods: stat['nr_throttled'] ?? 0,
    throttledMs: (stat['throttled_time'] ?? 0) / 1e6,
    limitCpus: quota === null ? null : quota / period,
  };
}

/** Every cgroup2 cgroup has cpu.stat with its usage, also without the controller. */
function statsV2(sources: Sources): CpuStats | null {
  const unified = sources('unified');
  const stat = parseFlat(unified?.read('cpu.stat') ?? null);
  if (stat['usage_usec'] === undefined) return null;
  const [quota, period] = unified?.read('cpu.max')?.split(' ') ?? [];
  const limit = parseLimit(quota ?? null);
  return {
    usageMs: stat['usage_usec'] / 1e3,
    userMs: (stat['user_usec'] ?? 0) / 1e3,
    systemMs: (stat['system_usec'] ?? 0) / 1e3,
    periods: stat['nr_periods'] ?? 0,
    throttledPeriods: stat['nr_throttled'] ?? 0,
    throttledMs: (stat['throttled_usec'] ?? 0) / 1e3,
    limitCpus: limit === null ? null : limit / Number(period),
  };
}

export const cpu: Controller<CpuStats> = {
  name: 'cpu',
  options: ['cpus', 'cpuWeight'],
  render,
  collected: () => ['cpu.stat'],
  stats: (sources) => statsV1(sources) ?? statsV2(sources),
};

/** v1 only: counts what the tasks of a cgroup use, limits nothing. */
export const cpuacct: Controller<never> = {
  name: 'cpuacct',
  options: [],
  render: () => [],
  collected: () => ['cpuacct.usage'],
  stats: () => null,
};
