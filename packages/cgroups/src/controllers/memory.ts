// Memory and swap: limits, usage, OOM kills.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Resources } from '../resources.js';
import {
  type Controller,
  noFile,
  onlyV2,
  type Place,
  parseFlat,
  parseLimit,
  parseNumber,
  type Rendered,
  type Source,
} from './controller.js';

/** Memory in bytes. */
export interface MemoryStats {
  readonly usageBytes: number;
  /** The most that `usageBytes` was; null before Linux 5.19 on v2. */
  readonly peakBytes: number | null;
  /** Null when there is no limit. */
  readonly limitBytes: number | null;
  /** Swap in use; null where the kernel does not account it. */
  readonly swapBytes: number | null;
  /** Without the page cache that can be dropped at once: what `docker stats` shows. */
  readonly workingSetBytes: number;
  /** Heaps, stacks and anonymous mappings. */
  readonly anonBytes: number;
  /** Page cache, tmpfs included. */
  readonly fileBytes: number;
  /** Page faults that had to wait for a disk. */
  readonly majorFaults: number;
  /** How many processes the OOM killer took. */
  readonly oomKills: number;
  /** How often usage was about to exceed the limit; null where the kernel does not count it (some with v1 and no swap). */
  readonly limitHits: number | null;
}

const MEMSW = 'memory.memsw.limit_in_bytes';

const SWAP_HINT = 'boot with swapaccount=1, or leave memorySwap out';

const limit = (option: keyof Resources, file: string, value: number | string): Rendered => ({
  option,
  controller: 'memory',
  file,
  value: `${value}`,
});

/** v1 limits memory and swap together, so memorySwap needs memory, and the sum is written after the part. */
function swapV1(r: Resources, place: Place): Rendered[] {
  if (r.memorySwap !== undefined && r.memory === undefined)
    return [
      new UnsupportedError(
        'a swap limit without a memory limit',
        'the memory controller of cgroup v2',
        'the memory controller of cgroup v1',
        {
          hint: 'set memory as well: cgroup v1 limits memory and swap together',
        },
      ),
    ];
  if (r.memory === undefined) return [];
  if (place.has(MEMSW)) return [limit(r.memorySwap === undefined ? 'memory' : 'memorySwap', MEMSW, r.memory + (r.memorySwap ?? 0))];
  return r.memorySwap === undefined ? [] : [noFile('a swap limit', MEMSW, SWAP_HINT)];
}

function renderV1(r: Resources, place: Place): Rendered[] {
  const out: Rendered[] = [];
  if (r.memory !== undefined) out.push(limit('memory', 'memory.limit_in_bytes', r.memory));
  out.push(...swapV1(r, place));
  if (r.memoryReservation !== undefined) out.push(limit('memoryReservation', 'memory.soft_limit_in_bytes', r.memoryReservation));
  if (r.memoryHigh !== undefined) out.push(onlyV2('memoryHigh', 'slowing down from a memory usage on (memoryHigh)', 'memory'));
  if (r.oomGroup === true) out.push(onlyV2('oomGroup', 'killing all processes together when memory runs out (oomGroup)', 'memory'));
  return out;
}

function renderV2(r: Resources, place: Place): Rendered[] {
  const out: Rendered[] = [];
  if (r.memory !== undefined) out.push(limit('memory', 'memory.max', r.memory));
  if (r.memorySwap !== undefined)
    out.push(
      place.has('memory.swap.max')
        ? limit('memorySwap', 'memory.swap.max', r.memorySwap)
        : noFile('a swap limit', 'memory.swap.max', SWAP_HINT),
    );
  else if (r.memory !== undefined && place.has('memory.swap.max')) out.push(limit('memory', 'memory.swap.max', 0));
  if (r.memoryReservation !== undefined) out.push(limit('memoryReservation', 'memory.low', r.memoryReservation));
  if (r.memoryHigh !== undefined) out.push(limit('memoryHigh', 'memory.high', r.memoryHigh));
  if (r.oomGroup !== undefined) out.push(limit('oomGroup', 'memory.oom.group', r.oomGroup ? 1 : 0));
  return out;
}

/** How many processes the OOM killer has taken; null when it cannot be told. */
export function oomKills(source: Source | null): number | null {
  const text = source?.read(source.version === 1 ? 'memory.oom_control' : 'memory.events') ?? null;
  return text === null ? null : (parseFlat(text)['oom_kill'] ?? null);
}

/** The most memory that was in use; null when it cannot be told. */
export const memoryPeak = (source: Source | null): number | null =>
  parseNumber(source?.read(source.version === 1 ? 'memory.max_usage_in_bytes' : 'memory.peak') ?? null);

/**
 * Without swap on top, the limit of memory and swap is met first, and its counter is met by that of memory alone. Linux
 * 6.18 counts the latter only: a 0 says nothing then.
 */
function limitHitsV1(s: Source): number | null {
  const hits = (parseNumber(s.read('memory.failcnt')) ?? 0) + (parseNumber(s.read('memory.memsw.failcnt')) ?? 0);
  const both = parseLimit(s.read(MEMSW));
  return hits === 0 && both !== null && both === parseLimit(s.read('memory.limit_in_bytes')) ? null : hits;
}

function statsV1(s: Source): MemoryStats | null {
  const usage = parseNumber(s.read('memory.usage_in_bytes'));
  if (usage === null) return null;
  const stat = parseFlat(s.read('memory.stat'));
  return {
    usageBytes: usage,
    peakBytes: memoryPeak(s),
    limitBytes: parseLimit(s.read('memory.limit_in_bytes')),
    swapBytes: stat['total_swap'] ?? null,
    workingSetBytes: Math.max(0, usage - (stat['total_inactive_file'] ?? 0)),
    anonBytes: stat['total_rss'] ?? 0,
    fileBytes: stat['total_cache'] ?? 0,
    majorFaults: stat['total_pgmajfault'] ?? 0,
    oomKills: oomKills(s) ?? 0,
    limitHits: limitHitsV1(s),
  };
}

function statsV2(s: Source): MemoryStats | null {
  const usage = parseNumber(s.read('memory.current'));
  if (usage === null) return null;
  const stat = parseFlat(s.read('memory.stat'));
  return {
    usageBytes: usage,
    peakBytes: memoryPeak(s),
    limitBytes: parseLimit(s.read('memory.max')),
    swapBytes: parseNumber(s.read('memory.swap.current')),
    workingSetBytes: Math.max(0, usage - (stat['inactive_file'] ?? 0)),
    anonBytes: stat['anon'] ?? 0,
    fileBytes: stat['file'] ?? 0,
    majorFaults: stat['pgmajfault'] ?? 0,
    oomKills: oomKills(s) ?? 0,
    limitHits: parseFlat(s.read('memory.events'))['max'] ?? 0,
  };
}

export const memory: Controller<MemoryStats> = {
  name: 'memory',
  options: ['memory', 'memorySwap', 'memoryReservation', 'memoryHigh', 'oomGroup'],
  render: (r, place) => (place.version === 1 ? renderV1(r, place) : renderV2(r, place)),
  collected: (place) => (place.version === 1 ? ['memory.oom_control', 'memory.max_usage_in_bytes'] : ['memory.events', 'memory.peak']),
  stats: (sources) => {
    const s = sources('memory');
    return s === null ? null : s.version === 1 ? statsV1(s) : statsV2(s);
  },
};
