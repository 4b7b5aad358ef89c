// The vocabulary of limits, one for v1 and v2, and the check of what a caller passes.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { isCpuList } from './cpu-list.js';

/**
 * What a cgroup may use. Numbers are bytes, whole cores or counts; the meaning is cgroup v2's on v1 hosts too.
 * `undefined` (or a missing key) sets no limit of its own; those of the cgroups above hold all the same.
 *
 * @see {@link https://docs.kernel.org/admin-guide/cgroup-v2.html}
 */
export interface Resources {
  /** Most CPU time per time, in cores: 0.5 is half a core. 0.01 to 8192. Default: no limit. */
  readonly cpus?: number | undefined;
  /** Share of the CPU when cores are contended, 1 to 10000, relative to the default of 100 that every cgroup has. */
  readonly cpuWeight?: number | undefined;
  /** CPUs that it may run on, as in '0-3,6'. Default: those of the cgroup above. */
  readonly cpusetCpus?: string | undefined;
  /** Memory nodes (NUMA) that it may use, as in '0' or '0-1'. Default: those of the cgroup above. */
  readonly cpusetMems?: string | undefined;
  /** Most memory in bytes, page cache and kernel memory included; beyond that the OOM killer acts inside. Default: no limit. */
  readonly memory?: number | undefined;
  /** Bytes that are taken away last when the host runs short: v2 `memory.low`, v1 the soft limit. Default: 0. */
  readonly memoryReservation?: number | undefined;
  /** Bytes from which on it is slowed down and reclaimed from, but not killed. Needs v2. Default: none. */
  readonly memoryHigh?: number | undefined;
  /** Swap in bytes on top of `memory`. Default: 0 when `memory` is set and the kernel accounts swap, else no limit. */
  readonly memorySwap?: number | undefined;
  /** Most processes and threads, 1 to 4194304. Default: no limit. */
  readonly pids?: number | undefined;
  /** Whether the OOM killer takes all processes of the cgroup when it takes one. Needs v2. Default: false. */
  readonly oomGroup?: boolean | undefined;
  /**
   * 'default': only null, zero, full, random, urandom, tty, console, ptmx and pseudo terminals may be opened, device
   * files may be made but not used. 'all' or undefined: no rule. Enforced on v1; see {@link describeCgroup} for v2.
   */
  readonly devices?: 'default' | 'all' | undefined;
  /** Any v2 file by its own name, as in `{ 'memory.min': '1048576' }`; one line each. Needs v2. Default: none. */
  readonly unified?: Readonly<Record<string, string>> | undefined;
}

type Check = (value: unknown, path: string) => void;

function fail(path: string, expected: string, received: unknown): never {
  throw new InvalidArgumentError(path, expected, received);
}

const integer =
  (min: number, max: number, what: string): Check =>
  (v, path) => {
    if (typeof v !== 'number' || !Number.isSafeInteger(v) || v < min || v > max) fail(path, `${what} from ${min} to ${max}`, v);
  };

const bytes = (min: number): Check => integer(min, Number.MAX_SAFE_INTEGER, 'a whole number of bytes');

const list: Check = (v, path) => {
  if (typeof v !== 'string' || !isCpuList(v)) fail(path, 'a list of numbers and ranges such as "0-3,6"', v);
};

const cores: Check = (v, path) => {
  if (typeof v !== 'number' || !(v >= 0.01 && v <= 8192)) fail(path, 'a number of cores from 0.01 to 8192', v);
};

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

const CHECKS: Readonly<Record<keyof Resources, Check>> = {
  cpus: cores,
  cpuWeight: integer(1, 10_000, 'a whole number'),
  cpusetCpus: list,
  cpusetMems: list,
  // A page: the kernel rounds down to pages, and 0 would kill whatever enters.
  memory: bytes(4096),
  memoryReservation: bytes(0),
  memoryHigh: bytes(4096),
  memorySwap: bytes(0),
  // PID_MAX_LIMIT of 64-bit kernels; pids.max refuses more.
  pids: integer(1, 4_194_304, 'a whole number'),
  oomGroup: (v, path) => {
    if (typeof v !== 'boolean') fail(path, 'true or false', v);
  },
  devices: (v, path) => {
    if (v !== 'default' && v !== 'all') fail(path, '"default" or "all"', v);
  },
  unified: files,
};

/** The names that {@link Resources} knows. */
export const RESOURCE_NAMES = Object.keys(CHECKS) as readonly (keyof Resources)[];

/** Refuses what is no Resources, with the place, what is right and what came. */
export function checkResources(value: unknown, path = 'resources'): asserts value is Resources {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fail(path, 'an object of limits', value);
  for (const [name, v] of Object.entries(value)) {
    const check = Object.hasOwn(CHECKS, name) ? CHECKS[name as keyof Resources] : undefined;
    if (check === undefined) fail(`${path}.${name.slice(0, 60)}`, `one of ${RESOURCE_NAMES.join(', ')}`, name);
    if (v !== undefined) check(v, `${path}.${name}`);
  }
}
