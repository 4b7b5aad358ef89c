// The vocabulary of limits, one for v1 and v2, and the check of what a caller passes.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';
import { bytes, type Check, count, cpuList, decimal, fail, integer, oneOf, orNull, record, shape, yesNo } from './checks.js';
import { type DeviceRule, devicesOption } from './controllers/device-rules.js';
import { type IoLimit, ioOption } from './controllers/io-rules.js';
import type { RdmaLimit } from './controllers/rdma.js';

/**
 * What a cgroup may use. Numbers are bytes, whole cores or counts; the meaning is cgroup v2's on v1 hosts too.
 * `undefined` (or a missing key) sets no limit of its own; those of the cgroups above hold all the same. `null` takes a
 * limit away in {@link Cgroup.update}, and is the same as `undefined` when a cgroup is made (but see `memorySwap`).
 *
 * @see {@link https://docs.kernel.org/admin-guide/cgroup-v2.html}
 */
export interface Resources {
  /** Most CPU time per time, in cores: 0.5 is half a core. 0.01 to 8192. Default: no limit. */
  readonly cpus?: number | null | undefined;
  /** The period over which `cpus` is reckoned, in microseconds, 1000 to 1000000; only together with `cpus`. Default: 100000. */
  readonly cpuPeriodUs?: number | undefined;
  /** CPU time in microseconds that may be saved up in idle periods and spent above `cpus`; at most the quota. Default: 0. */
  readonly cpuBurstUs?: number | null | undefined;
  /** Share of the CPU when cores are contended, 1 to 10000, relative to the default of 100 that every cgroup has. */
  readonly cpuWeight?: number | null | undefined;
  /**
   * The same in v1's and Docker's numbers, 2 to 262144, relative to 1024; not together with `cpuWeight`. On v2 it is
   * converted as runc does, see {@link weightFromShares}.
   */
  readonly cpuShares?: number | null | undefined;
  /** Whether it runs only when nobody else wants the CPU (SCHED_IDLE); not together with a weight. Default: false. */
  readonly cpuIdle?: boolean | undefined;
  /** Least CPU speed that the scheduler asks for while it runs, in percent. Needs UCLAMP_TASK_GROUP. Default: 0. */
  readonly cpuUclampMin?: number | null | undefined;
  /** Most CPU speed that the scheduler asks for, in percent. Needs UCLAMP_TASK_GROUP. Default: no bound. */
  readonly cpuUclampMax?: number | null | undefined;
  /** Time for real-time processes in each real-time period, in microseconds. Needs v1 and RT_GROUP_SCHED. Default: 0. */
  readonly cpuRealtimeRuntimeUs?: number | undefined;
  /** The real-time period, in microseconds. Needs v1 and RT_GROUP_SCHED. Default: 1000000. */
  readonly cpuRealtimePeriodUs?: number | undefined;
  /** CPUs that it may run on, as in '0-3,6'. Default: those of the cgroup above. */
  readonly cpusetCpus?: string | null | undefined;
  /** Memory nodes (NUMA) that it may use, as in '0' or '0-1'. Default: those of the cgroup above. */
  readonly cpusetMems?: string | null | undefined;
  /**
   * 'root' or 'isolated': its CPUs are taken away from all other cgroups, 'isolated' without load balancing. Needs v2,
   * and a parent that is a partition itself; else the kernel says so in `cpuset.cpus.partition`. Default: 'member'.
   */
  readonly cpusetPartition?: 'member' | 'root' | 'isolated' | null | undefined;
  /** Most memory in bytes, page cache and kernel memory included; beyond that the OOM killer acts inside. Default: no limit. */
  readonly memory?: number | null | undefined;
  /** Bytes that are taken away last when the host runs short: v2 `memory.low`, v1 the soft limit. Default: 0. */
  readonly memoryReservation?: number | null | undefined;
  /** Bytes from which on it is slowed down and reclaimed from, but not killed. Needs v2. Default: none. */
  readonly memoryHigh?: number | null | undefined;
  /** Bytes that are never taken away; too many of them make the host kill others. Needs v2. Default: 0. */
  readonly memoryMin?: number | null | undefined;
  /** Swap in bytes on top of `memory`. Default: 0 when `memory` is set and the kernel accounts swap, else no limit; `null` is no limit. */
  readonly memorySwap?: number | null | undefined;
  /** How readily memory is swapped out, 0 to 100. Needs v1. Default: that of the cgroup above. */
  readonly memorySwappiness?: number | undefined;
  /** Whether processes wait for memory instead of being killed. Needs v1. Default: false. */
  readonly oomKillDisable?: boolean | undefined;
  /** Whether the OOM killer takes all processes of the cgroup when it takes one. Needs v2. Default: false. */
  readonly oomGroup?: boolean | undefined;
  /** Most processes and threads, 1 to 4194304. Default: no limit. */
  readonly pids?: number | null | undefined;
  /** Share of block device time when devices are contended, 1 to 10000, relative to 100. Needs BFQ or iocost. */
  readonly ioWeight?: number | null | undefined;
  /** The same in v1's and Docker's numbers, 10 to 1000; not together with `ioWeight`. */
  readonly blkioWeight?: number | null | undefined;
  /** Limits of single block devices. Default: none. */
  readonly io?: readonly IoLimit[] | undefined;
  /** Most bytes in huge pages by their size, as in `{ '2MB': 64 * 1024 * 1024 }`. Default: no limit. */
  readonly hugetlb?: Readonly<Record<string, number | null>> | undefined;
  /** Most handles and objects of RDMA devices, by device. Default: no limit. */
  readonly rdma?: Readonly<Record<string, RdmaLimit>> | undefined;
  /** Most of each scalar resource that the host's `misc.capacity` names, as in `{ sev: 1 }`. Default: no limit. */
  readonly misc?: Readonly<Record<string, number | null>> | undefined;
  /**
   * Device files that may be used. 'default': null, zero, full, random, urandom, tty, console, ptmx and pseudo terminals
   * may be opened, device files may be made but not used. A list: what no rule allows is denied. 'all' or undefined: no rule.
   * v1: its controller. v2: an eBPF program, which takes CAP_SYS_ADMIN (or CAP_BPF and CAP_NET_ADMIN); see {@link describeCgroup}.
   */
  readonly devices?: 'default' | 'all' | readonly DeviceRule[] | undefined;
  /** Class of its network packets for tc and iptables, 0 to 4294967295. Needs v1. Default: 0. */
  readonly netClassId?: number | undefined;
  /** Priority of its network packets for each interface of this network namespace. Needs v1. Default: 0. */
  readonly netPriorities?: Readonly<Record<string, number>> | undefined;
  /** Any v2 file by its own name, as in `{ 'memory.zswap.max': '1048576' }`; one line each. Needs v2. Default: none. */
  readonly unified?: Readonly<Record<string, string>> | undefined;
}

const files: Check = (v, path) => {
  if (typeof v !== 'object' || v === null || Array.isArray(v)) fail(path, 'an object of cgroup v2 file names and their texts', v);
  for (const [name, text] of Object.entries(v)) {
    // cgroup.* is the tree itself, and a slash would leave the directory.
    if (!/^(?!cgroup\.)[a-z]+(\.[A-Za-z0-9_-]+)+$/.test(name) || name.length > 100)
      fail(`${path}[${JSON.stringify(name.slice(0, 60))}]`, 'named like a controller’s file, such as "memory.min"', name);
    if (typeof text !== 'string' || text.length > 4000 || /[\0\n]/.test(text))
      fail(`${path}[${JSON.stringify(name)}]`, 'one line of text', text);
  }
};

const optional = orNull;
const percent = decimal(0, 100, 'a percentage');
const us = (min: number, max: number): Check => integer(min, max, 'a whole number of microseconds');
const handles = orNull(count(0, 2_147_483_647));
/** A name of the kernel's, put before a blank: no blank, no newline, no slash. */
const WORD = /^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/;
const WORD_WHAT = 'a plain name';

const CHECKS: Readonly<Record<keyof Resources, Check>> = {
  cpus: optional(decimal(0.01, 8192, 'a number of cores')),
  cpuPeriodUs: us(1000, 1_000_000),
  cpuBurstUs: optional(us(0, 2 ** 43)),
  cpuWeight: optional(count(1, 10_000)),
  cpuShares: optional(count(2, 262_144)),
  cpuIdle: yesNo,
  cpuUclampMin: optional(percent),
  cpuUclampMax: optional(percent),
  cpuRealtimeRuntimeUs: us(0, 2 ** 43),
  cpuRealtimePeriodUs: us(1, 2 ** 43),
  cpusetCpus: optional(cpuList),
  cpusetMems: optional(cpuList),
  cpusetPartition: optional(oneOf('member', 'root', 'isolated')),
  // A page: the kernel rounds down to pages, and 0 would kill whatever enters.
  memory: optional(bytes(4096)),
  memoryReservation: optional(bytes(0)),
  memoryHigh: optional(bytes(4096)),
  memoryMin: optional(bytes(0)),
  memorySwap: optional(bytes(0)),
  memorySwappiness: count(0, 100),
  oomKillDisable: yesNo,
  oomGroup: yesNo,
  // PID_MAX_LIMIT of 64-bit kernels; pids.max refuses more.
  pids: optional(count(1, 4_194_304)),
  ioWeight: optional(count(1, 10_000)),
  blkioWeight: optional(count(10, 1000)),
  io: ioOption,
  hugetlb: record('page sizes', /^\d{1,4}[KMG]B$/, 'a page size such as "2MB"', orNull(bytes(0))),
  rdma: record('RDMA devices', WORD, WORD_WHAT, shape('limits of an RDMA device', { hcaHandles: handles, hcaObjects: handles })),
  misc: record('resources', WORD, WORD_WHAT, orNull(count(0))),
  devices: devicesOption,
  netClassId: count(0, 4_294_967_295),
  netPriorities: record('network interfaces', /^[^\s/\0]{1,15}$/, 'the name of a network interface', count(0, 2_147_483_647)),
  unified: files,
};

/** The names that {@link Resources} knows. */
export const RESOURCE_NAMES = Object.keys(CHECKS) as readonly (keyof Resources)[];

/** Two words for one limit. */
function checkTogether(r: Resources, path: string): void {
  const { cpuWeight, cpuShares, cpuIdle } = r;
  if (cpuWeight != null && cpuShares != null) fail(`${path}.cpuShares`, 'left out beside cpuWeight: both say the same', cpuShares);
  if (cpuIdle === true && (cpuWeight ?? cpuShares) != null) fail(`${path}.cpuIdle`, 'false beside a weight', cpuIdle);
  if (r.cpuPeriodUs !== undefined && r.cpus == null) fail(`${path}.cpuPeriodUs`, 'given together with cpus', r.cpuPeriodUs);
  if (r.ioWeight != null && r.blkioWeight != null)
    fail(`${path}.blkioWeight`, 'left out beside ioWeight: both say the same', r.blkioWeight);
  if (r.cpuUclampMin != null && r.cpuUclampMax != null && r.cpuUclampMin > r.cpuUclampMax)
    fail(`${path}.cpuUclampMin`, `at most cpuUclampMax, ${r.cpuUclampMax}`, r.cpuUclampMin);
  if (r.cpuBurstUs != null && r.cpus != null && r.cpuBurstUs > Math.round(r.cpus * (r.cpuPeriodUs ?? 100_000)))
    fail(`${path}.cpuBurstUs`, 'at most what cpus gives in a period', r.cpuBurstUs);
}

/** Refuses what is no Resources, with the place, what is right and what came. */
export function checkResources(value: unknown, path = 'resources'): asserts value is Resources {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(path, 'an object of limits', value);
  for (const [name, v] of Object.entries(value)) {
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name as keyof Resources] : undefined;
    if (check === undefined)
      throw new InvalidArgumentError(
        `${path}.${name.slice(0, 60)}`,
        `one of ${RESOURCE_NAMES.join(', ')}${didYouMean(name, RESOURCE_NAMES)}`,
        name,
      );
    if (v !== undefined) check(v, `${path}.${name}`);
  }
  checkTogether(value, path);
}
