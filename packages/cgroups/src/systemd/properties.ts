// Limits as properties of a systemd unit, so that systemd knows them and does not take them back at a reload. What it has
// no property for is written to the files of the delegated cgroup afterwards. See systemd.resource-control(5).
import { sharesFromWeight, weightFromShares } from '../conversions.js';
import type { Resources } from '../resources.js';

/** Name, D-Bus type, value. */
export type Property = readonly [name: string, type: string, value: unknown];

/** CGROUP_LIMIT_MAX and USEC_INFINITY. */
const INFINITY = 2n ** 64n - 1n;

const limit = (name: string, n: number | null | undefined): Property[] =>
  n === undefined ? [] : [[name, 't', n === null ? INFINITY : BigInt(n)]];

/** systemd keeps hundredths of a per cent of a core; runc rounds up to them, so that no quota becomes none. */
function quota(r: Resources): Property[] {
  if (r.cpus === undefined) return [];
  if (r.cpus === null) return [['CPUQuotaPerSecUSec', 't', INFINITY]];
  const perSecond = Math.ceil(Math.round(r.cpus * 1e6) / 1e4) * 1e4;
  const period: Property[] = r.cpuPeriodUs === undefined ? [] : [['CPUQuotaPeriodUSec', 't', BigInt(r.cpuPeriodUs)]];
  return [...period, ['CPUQuotaPerSecUSec', 't', BigInt(perSecond)]];
}

function weight(r: Resources, version: 1 | 2): Property[] {
  const { cpuWeight: w, cpuShares: s } = r;
  if (w == null && s == null) return [];
  if (version === 1) return limit('CPUShares', s ?? sharesFromWeight(w ?? 100));
  return limit('CPUWeight', w ?? weightFromShares(s ?? 1024));
}

function memory(r: Resources, version: 1 | 2): Property[] {
  if (version === 1) return limit('MemoryLimit', r.memory);
  const swap = r.memorySwap === undefined && typeof r.memory === 'number' ? 0 : r.memorySwap;
  return [
    ...limit('MemoryMax', r.memory),
    ...limit('MemorySwapMax', swap),
    ...limit('MemoryHigh', r.memoryHigh),
    ...limit('MemoryLow', r.memoryReservation),
    ...limit('MemoryMin', r.memoryMin),
  ];
}

/** Version of the controllers: what a unit of a v1 host has is called otherwise. */
export function propertiesOf(r: Resources, version: 1 | 2): Property[] {
  const io = version === 2 && r.ioWeight != null ? limit('IOWeight', r.ioWeight) : [];
  return [...quota(r), ...weight(r, version), ...memory(r, version), ...limit('TasksMax', r.pids), ...io];
}

/** What every scope of ours has, as runc's have. */
export function scopeProperties(o: { description: string; slice: string; pids: readonly number[] }): Property[] {
  return [
    ['Description', 's', o.description],
    ['Slice', 's', o.slice],
    ['PIDs', 'au', [...o.pids]],
    ['Delegate', 'b', true],
    ['CPUAccounting', 'b', true],
    ['MemoryAccounting', 'b', true],
    ['IOAccounting', 'b', true],
    ['TasksAccounting', 'b', true],
    ['DefaultDependencies', 'b', false],
    // Gone by itself once its last process is, also when that failed.
    ['CollectMode', 's', 'inactive-or-failed'],
  ];
}
