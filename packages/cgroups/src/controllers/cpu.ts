// CPU time: limits, weight, usage. v1 counts time in a controller of its own, cpuacct.
import { sharesFromWeight, weightFromShares } from '../conversions.js';
import type { Resources } from '../resources.js';
import {
  type Controller,
  given,
  onlyV1,
  type Place,
  parseFlat,
  parseLimit,
  parseNumber,
  type Rendered,
  type Source,
  type Sources,
  setting,
} from './controller.js';

/** CPU time used, in milliseconds, and how often the limit held it back. */
export interface CpuStats {
  readonly usageMs: number;
  readonly userMs: number;
  readonly systemMs: number;
  /** Periods (100 ms by default) in which something ran while there was a limit. */
  readonly periods: number;
  readonly throttledPeriods: number;
  readonly throttledMs: number;
  /** Periods in which more than the limit ran, out of what was saved before. */
  readonly bursts: number;
  readonly burstMs: number;
  /** The limit in cores; null when there is none. */
  readonly limitCpus: number | null;
}

/** The kernel's own default, of v1 and v2. A limit of 0.01 cores is 1 ms of it, the least the kernel takes. */
const PERIOD_US = 100_000;

const put = (
  place: Place,
  option: keyof Resources,
  file: string,
  value: string | number | null,
  none: string,
  feature: string,
): Rendered[] => setting(place, { option, controller: 'cpu', file, value, none, feature });

function quota(r: Resources, place: Place): Rendered[] {
  const period = r.cpuPeriodUs ?? PERIOD_US;
  const us = r.cpus === null || r.cpus === undefined ? null : Math.round(r.cpus * period);
  if (place.version === 2) return put(place, 'cpus', 'cpu.max', us === null ? null : `${us} ${period}`, `max ${period}`, 'a CPU limit');
  // v1: the period is PERIOD_US from birth, so by default only the quota is written.
  const other = r.cpuPeriodUs === undefined ? [] : put(place, 'cpuPeriodUs', 'cpu.cfs_period_us', period, `${PERIOD_US}`, 'a CPU limit');
  return [...other, ...put(place, 'cpus', 'cpu.cfs_quota_us', us, '-1', 'a CPU limit')];
}

function weight(r: Resources, place: Place): Rendered[] {
  const { cpuWeight: w, cpuShares: s } = r;
  if (w === undefined && s === undefined) return [];
  const option = w === undefined ? 'cpuShares' : 'cpuWeight';
  if (place.version === 1) return put(place, option, 'cpu.shares', s ?? (w == null ? null : sharesFromWeight(w)), '1024', 'a CPU weight');
  return put(place, option, 'cpu.weight', w ?? (s == null ? null : weightFromShares(s)), '100', 'a CPU weight');
}

const percent = (n: number | null): string | null => (n === null ? null : n.toFixed(2));

/** Options that hardly anyone uses, apart from the others: no start pays for them. */
function rare(r: Resources, place: Place): Rendered[] {
  const out: Rendered[] = [];
  const burst = place.version === 1 ? 'cpu.cfs_burst_us' : 'cpu.max.burst';
  if (r.cpuBurstUs !== undefined) out.push(...put(place, 'cpuBurstUs', burst, r.cpuBurstUs, '0', 'a CPU burst'));
  if (r.cpuIdle !== undefined) out.push(...put(place, 'cpuIdle', 'cpu.idle', r.cpuIdle ? 1 : null, '0', 'running only when CPUs are idle'));
  const clamp = 'a bound on the CPU speed';
  if (r.cpuUclampMin !== undefined) out.push(...put(place, 'cpuUclampMin', 'cpu.uclamp.min', percent(r.cpuUclampMin), '0', clamp));
  if (r.cpuUclampMax !== undefined) out.push(...put(place, 'cpuUclampMax', 'cpu.uclamp.max', percent(r.cpuUclampMax), 'max', clamp));
  return [...out, ...realtime(r, place)];
}

/** The period first: the kernel refuses a runtime longer than it. */
function realtime(r: Resources, place: Place): Rendered[] {
  const feature = 'time for real-time processes';
  const options = [
    ['cpuRealtimePeriodUs', 'cpu.rt_period_us'],
    ['cpuRealtimeRuntimeUs', 'cpu.rt_runtime_us'],
  ] as const;
  return options.flatMap(([option, file]) => {
    const value = r[option];
    if (value === undefined) return [];
    return place.version === 2 ? [onlyV1(option, feature, 'cpu')] : put(place, option, file, value, '0', feature);
  });
}

const RARE = ['cpuBurstUs', 'cpuIdle', 'cpuUclampMin', 'cpuUclampMax', 'cpuRealtimeRuntimeUs', 'cpuRealtimePeriodUs'] as const;

function render(r: Resources, place: Place): Rendered[] {
  const out = r.cpus === undefined ? [] : quota(r, place);
  out.push(...weight(r, place));
  return RARE.some((o) => r[o] !== undefined) ? [...out, ...rare(r, place)] : out;
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
  const limit = parseLimit(cpu?.read('cpu.cfs_quota_us') ?? null);
  const period = parseNumber(cpu?.read('cpu.cfs_period_us') ?? null) ?? PERIOD_US;
  return {
    usageMs: (usage ?? 0) / 1e6,
    userMs: ms('cpuacct.usage_user'),
    systemMs: ms('cpuacct.usage_sys'),
    periods: stat['nr_periods'] ?? 0,
    throttledPeriods: stat['nr_throttled'] ?? 0,
    throttledMs: (stat['throttled_time'] ?? 0) / 1e6,
    bursts: stat['nr_bursts'] ?? 0,
    burstMs: (stat['burst_time'] ?? 0) / 1e6,
    limitCpus: limit === null ? null : limit / period,
  };
}

/** Every cgroup2 cgroup has cpu.stat with its usage, also without the controller. */
function statsV2(sources: Sources): CpuStats | null {
  const unified = sources('unified');
  const stat = parseFlat(unified?.read('cpu.stat') ?? null);
  if (stat['usage_usec'] === undefined) return null;
  return {
    usageMs: stat['usage_usec'] / 1e3,
    userMs: (stat['user_usec'] ?? 0) / 1e3,
    systemMs: (stat['system_usec'] ?? 0) / 1e3,
    periods: stat['nr_periods'] ?? 0,
    throttledPeriods: stat['nr_throttled'] ?? 0,
    throttledMs: (stat['throttled_usec'] ?? 0) / 1e3,
    bursts: stat['nr_bursts'] ?? 0,
    burstMs: (stat['burst_usec'] ?? 0) / 1e3,
    limitCpus: maxOf(unified)?.cpus ?? null,
  };
}

function maxOf(source: Source | null): { cpus: number | null; periodUs: number } | null {
  const [us, period] = source?.read('cpu.max')?.split(' ') ?? [];
  if (us === undefined) return null;
  const limit = parseLimit(us);
  return { cpus: limit === null ? null : limit / Number(period), periodUs: Number(period) };
}

const percentOf = (text: string | null | undefined): number | null => {
  const n = Number.parseFloat(text ?? '');
  return Number.isNaN(n) ? null : n;
};

/** A share or weight that every cgroup has is no limit. */
const unless = (n: number | null, none: number): number | null => (n === none ? null : n);

function limits(sources: Sources): Resources {
  const s = sources('cpu');
  if (s === null) return {};
  const v1 = s.version === 1;
  const max = v1 ? null : maxOf(s);
  const period = v1 ? parseNumber(s.read('cpu.cfs_period_us')) : (max?.periodUs ?? null);
  const us = v1 ? parseLimit(s.read('cpu.cfs_quota_us')) : null;
  const cpus = v1 ? (us === null || period === null ? null : us / period) : (max?.cpus ?? null);
  const idle = parseNumber(s.read('cpu.idle')) === 1;
  return given<Resources>({
    cpus,
    cpuPeriodUs: cpus === null ? null : unless(period, PERIOD_US),
    cpuWeight: v1 || idle ? null : unless(parseNumber(s.read('cpu.weight')), 100),
    cpuShares: v1 && !idle ? unless(parseNumber(s.read('cpu.shares')), 1024) : null,
    cpuBurstUs: unless(parseNumber(s.read(v1 ? 'cpu.cfs_burst_us' : 'cpu.max.burst')), 0),
    cpuIdle: idle ? true : null,
    cpuUclampMin: unless(percentOf(s.read('cpu.uclamp.min')), 0),
    cpuUclampMax: percentOf(s.read('cpu.uclamp.max')),
    cpuRealtimeRuntimeUs: unless(parseNumber(s.read('cpu.rt_runtime_us')), 0),
  });
}

export const cpu: Controller<CpuStats> = {
  name: 'cpu',
  options: ['cpus', 'cpuPeriodUs', 'cpuWeight', 'cpuShares', ...RARE],
  render,
  collected: () => ['cpu.stat'],
  stats: (sources) => statsV1(sources) ?? statsV2(sources),
  limits,
};

/** v1 only: counts what the tasks of a cgroup use, limits nothing. */
export const cpuacct: Controller<never> = {
  name: 'cpuacct',
  options: [],
  render: () => [],
  collected: () => ['cpuacct.usage'],
  stats: () => null,
};
