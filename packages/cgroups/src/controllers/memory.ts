// Memory and swap: limits, usage, OOM kills.
import { UnsupportedError } from '@ctr/internal/errors';
import type { Resources } from '../resources.js';
import {
  type Controller,
  given,
  onlyV1,
  onlyV2,
  type Place,
  parseFlat,
  parseLimit,
  parseNumber,
  type Rendered,
  type Source,
  type Sources,
  setting,
} from './controller.js';

/** Memory in bytes. */
export interface MemoryStats {
  /** All that is charged to it, page cache and kernel memory included. */
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
  /** tmpfs, shared anonymous mappings and System V shared memory; also part of `fileBytes`. */
  readonly sharedBytes: number;
  /** Of the kernel for this cgroup: slabs, stacks, page tables, socket buffers; null where it is not told (v1). */
  readonly kernelBytes: number | null;
  /** Slabs: inodes, dentries and the like; null where it is not told (v1). */
  readonly slabBytes: number | null;
  /** Socket buffers; null where it is not told (v1). */
  readonly socketBytes: number | null;
  /** Page cache that was written and is not on disk yet. */
  readonly dirtyBytes: number;
  /** All page faults. */
  readonly faults: number;
  /** Page faults that had to wait for a disk. */
  readonly majorFaults: number;
  /** How many processes the OOM killer took. */
  readonly oomKills: number;
  /** How often usage was about to exceed the limit; null where the kernel does not count it (some with v1 and no swap). */
  readonly limitHits: number | null;
  /** How often it was slowed down at `memoryHigh`; null on v1. */
  readonly highHits: number | null;
  /** How often memory ran out, whether or not something was killed; null on v1. */
  readonly ooms: number | null;
}

const MEMSW = 'memory.memsw.limit_in_bytes';

/** The kernel's own. */
const SWAPPINESS = 60;
const SWAP_HINT = 'boot with swapaccount=1, or leave memorySwap out';

type Option = keyof Resources;

const put = (place: Place, option: Option, file: string, value: number | null, none: string, feature: string, hint?: string): Rendered[] =>
  setting(place, { option, controller: 'memory', file, value, none, feature, ...(hint === undefined ? {} : { hint }) });

/** v1 limits memory and swap together, so memorySwap needs memory, and the sum is written after the part. */
function swapV1(r: Resources, place: Place): Rendered[] {
  const { memory, memorySwap: swap } = r;
  const sum = (option: Option, value: number | null): Rendered[] => put(place, option, MEMSW, value, '-1', 'a swap limit', SWAP_HINT);
  if (typeof swap === 'number' && typeof memory !== 'number')
    return [
      new UnsupportedError(
        'a swap limit without a memory limit',
        'the memory controller of cgroup v2',
        'the memory controller of cgroup v1',
        { hint: 'set memory as well: cgroup v1 limits memory and swap together' },
      ),
    ];
  if (swap === null || memory === null) return sum(swap === null ? 'memorySwap' : 'memory', null);
  if (memory === undefined) return [];
  if (swap === undefined) return place.has(MEMSW) ? sum('memory', memory) : [];
  return sum('memorySwap', memory + swap);
}

function onlyV2Options(r: Resources): Rendered[] {
  const out: Rendered[] = [];
  if (typeof r.memoryMin === 'number') out.push(onlyV2('memoryMin', 'protecting memory (memoryMin)', 'memory'));
  if (typeof r.memoryHigh === 'number') out.push(onlyV2('memoryHigh', 'slowing down from a memory usage on (memoryHigh)', 'memory'));
  if (r.oomGroup === true) out.push(onlyV2('oomGroup', 'killing all processes together when memory runs out (oomGroup)', 'memory'));
  return out;
}

function renderV1(r: Resources, place: Place): Rendered[] {
  const out: Rendered[] = [];
  if (r.memory !== undefined) out.push(...put(place, 'memory', 'memory.limit_in_bytes', r.memory, '-1', 'a memory limit'));
  out.push(...swapV1(r, place));
  if (r.memoryReservation !== undefined)
    out.push(...put(place, 'memoryReservation', 'memory.soft_limit_in_bytes', r.memoryReservation, '-1', 'a memory reservation'));
  out.push(...onlyV2Options(r));
  if (r.memorySwappiness !== undefined)
    out.push(...put(place, 'memorySwappiness', 'memory.swappiness', r.memorySwappiness, String(SWAPPINESS), 'a choice of swappiness'));
  if (r.oomKillDisable !== undefined)
    out.push(...put(place, 'oomKillDisable', 'memory.oom_control', r.oomKillDisable ? 1 : null, '0', 'living without the OOM killer'));
  return out;
}

function swapV2(r: Resources, place: Place): Rendered[] {
  const file = 'memory.swap.max';
  if (r.memorySwap !== undefined) return put(place, 'memorySwap', file, r.memorySwap, 'max', 'a swap limit', SWAP_HINT);
  return typeof r.memory === 'number' && place.has(file) ? put(place, 'memory', file, 0, 'max', 'a swap limit') : [];
}

/** File, text when lifted, and words for the refusal. */
const V2_BYTES = [
  ['memoryReservation', 'memory.low', '0', 'a memory reservation'],
  ['memoryHigh', 'memory.high', 'max', 'slowing down from a memory usage on'],
  ['memoryMin', 'memory.min', '0', 'protecting memory'],
] as const;

function renderV2(r: Resources, place: Place): Rendered[] {
  const out: Rendered[] = [];
  if (r.memory !== undefined) out.push(...put(place, 'memory', 'memory.max', r.memory, 'max', 'a memory limit'));
  out.push(...swapV2(r, place));
  for (const [option, file, none, feature] of V2_BYTES) {
    const value = r[option];
    if (value !== undefined) out.push(...put(place, option, file, value, none, feature));
  }
  if (r.oomGroup !== undefined) out.push(...put(place, 'oomGroup', 'memory.oom.group', r.oomGroup ? 1 : 0, '0', 'killing all together'));
  if (typeof r.memorySwappiness === 'number') out.push(onlyV1('memorySwappiness', 'a choice of swappiness', 'memory'));
  if (r.oomKillDisable === true) out.push(onlyV1('oomKillDisable', 'living without the OOM killer', 'memory'));
  return out;
}

/** The file that oomKills() reads. */
export const oomText = (source: Source): string | null => source.read(source.version === 1 ? 'memory.oom_control' : 'memory.events');

/** How many processes the OOM killer has taken; null when it cannot be told. */
export function oomKills(source: Source | null): number | null {
  const text = source === null ? null : oomText(source);
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
    sharedBytes: stat['total_shmem'] ?? 0,
    kernelBytes: null,
    slabBytes: null,
    socketBytes: null,
    dirtyBytes: stat['total_dirty'] ?? 0,
    faults: stat['total_pgfault'] ?? 0,
    majorFaults: stat['total_pgmajfault'] ?? 0,
    oomKills: oomKills(s) ?? 0,
    limitHits: limitHitsV1(s),
    highHits: null,
    ooms: null,
  };
}

function statsV2(s: Source): MemoryStats | null {
  const usage = parseNumber(s.read('memory.current'));
  if (usage === null) return null;
  const stat = parseFlat(s.read('memory.stat'));
  const events = parseFlat(s.read('memory.events'));
  return {
    usageBytes: usage,
    peakBytes: memoryPeak(s),
    limitBytes: parseLimit(s.read('memory.max')),
    swapBytes: parseNumber(s.read('memory.swap.current')),
    workingSetBytes: Math.max(0, usage - (stat['inactive_file'] ?? 0)),
    anonBytes: stat['anon'] ?? 0,
    fileBytes: stat['file'] ?? 0,
    sharedBytes: stat['shmem'] ?? 0,
    // Linux 5.18 has the sum; before that its known parts.
    kernelBytes: stat['kernel'] ?? (stat['kernel_stack'] ?? 0) + (stat['slab'] ?? 0) + (stat['pagetables'] ?? 0) + (stat['percpu'] ?? 0),
    slabBytes: stat['slab'] ?? 0,
    socketBytes: stat['sock'] ?? 0,
    dirtyBytes: stat['file_dirty'] ?? 0,
    faults: stat['pgfault'] ?? 0,
    majorFaults: stat['pgmajfault'] ?? 0,
    oomKills: events['oom_kill'] ?? 0,
    limitHits: events['max'] ?? 0,
    highHits: events['high'] ?? 0,
    ooms: events['oom'] ?? 0,
  };
}

function limitsV1(s: Source): Resources {
  const memory = parseLimit(s.read('memory.limit_in_bytes'));
  const both = parseLimit(s.read(MEMSW));
  const swappiness = parseNumber(s.read('memory.swappiness'));
  return given<Resources>({
    memory,
    memorySwap: memory === null || both === null ? null : Math.max(0, both - memory),
    memoryReservation: parseLimit(s.read('memory.soft_limit_in_bytes')),
    // A cgroup begins with that of the one above, which is the host's vm.swappiness at first.
    memorySwappiness: swappiness === SWAPPINESS ? null : swappiness,
    oomKillDisable: parseFlat(s.read('memory.oom_control'))['oom_kill_disable'] === 1 ? true : null,
  });
}

function limitsV2(s: Source): Resources {
  const protection = (file: string): number | null => parseLimit(s.read(file)) || null;
  return given<Resources>({
    memory: parseLimit(s.read('memory.max')),
    memorySwap: parseLimit(s.read('memory.swap.max')),
    memoryReservation: protection('memory.low'),
    memoryHigh: parseLimit(s.read('memory.high')),
    memoryMin: protection('memory.min'),
    oomGroup: parseNumber(s.read('memory.oom.group')) === 1 ? true : null,
  });
}

const limits = (sources: Sources): Resources => {
  const s = sources('memory');
  return s === null ? {} : s.version === 1 ? limitsV1(s) : limitsV2(s);
};

export const memory: Controller<MemoryStats> = {
  name: 'memory',
  options: ['memory', 'memorySwap', 'memoryReservation', 'memoryHigh', 'memoryMin', 'memorySwappiness', 'oomGroup', 'oomKillDisable'],
  render: (r, place) => (place.version === 1 ? renderV1(r, place) : renderV2(r, place)),
  collected: (place) => (place.version === 1 ? ['memory.oom_control', 'memory.max_usage_in_bytes'] : ['memory.events', 'memory.peak']),
  stats: (sources) => {
    const s = sources('memory');
    return s === null ? null : s.version === 1 ? statsV1(s) : statsV2(s);
  },
  limits,
};
