// Docker's words for limits, of its API (HostConfig) and of `docker run`, in ours.
import { type Check, count, decimal, fail, integer, list, shape, yesNo } from '../checks.js';
import { given } from '../controllers/controller.js';
import { type DeviceRule, fullRules, parseDeviceRule } from '../controllers/device-rules.js';
import type { IoLimit } from '../controllers/io.js';
import { ioWeightFromBlkio } from '../conversions.js';
import type { Resources } from '../resources.js';

interface DockerRate {
  readonly Path: string;
  readonly Rate: number;
}

/**
 * The part of `HostConfig` in Docker's Engine API that limits. Sizes may also be given as `docker run` takes them, as '512m'.
 *
 * @see {@link https://docs.docker.com/reference/api/engine/}
 */
export interface DockerResources {
  readonly Memory?: number | string;
  /** Memory and swap together; -1 is no limit; 0 or nothing is twice the memory. */
  readonly MemorySwap?: number | string;
  readonly MemoryReservation?: number | string;
  readonly MemorySwappiness?: number | null;
  readonly OomKillDisable?: boolean | null;
  readonly NanoCpus?: number;
  readonly CpuShares?: number;
  readonly CpuPeriod?: number;
  readonly CpuQuota?: number;
  readonly CpuRealtimePeriod?: number;
  readonly CpuRealtimeRuntime?: number;
  readonly CpusetCpus?: string;
  readonly CpusetMems?: string;
  readonly BlkioWeight?: number;
  readonly BlkioWeightDevice?: readonly { readonly Path: string; readonly Weight: number }[] | null;
  readonly BlkioDeviceReadBps?: readonly DockerRate[] | null;
  readonly BlkioDeviceWriteBps?: readonly DockerRate[] | null;
  readonly BlkioDeviceReadIOps?: readonly DockerRate[] | null;
  readonly BlkioDeviceWriteIOps?: readonly DockerRate[] | null;
  readonly PidsLimit?: number | null;
  /** Added to the default rules, as 'c 10:229 rwm'. */
  readonly DeviceCgroupRules?: readonly string[] | null;
}

const UNITS: Readonly<Record<string, number>> = { '': 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4, p: 1024 ** 5 };

/** '512m', '1.5GiB', '100kb': units of 1024, as `docker run --memory` has them. */
function sizeOf(text: string | number, path: string): number {
  if (typeof text === 'number') return text;
  const m = /^(-1|\d{1,16}(?:\.\d{1,6})?) ?([bkmgtp]?)(?:i?b)?$/i.exec(text);
  const n = m === null ? Number.NaN : Math.floor(Number(m[1]) * (UNITS[m[2]?.toLowerCase() ?? ''] ?? Number.NaN));
  return Number.isSafeInteger(n) ? n : fail(path, 'a size such as 536870912 or "512m"', text);
}

const size: Check = (v, path) => {
  if (typeof v !== 'string' && typeof v !== 'number') fail(path, 'a size such as 536870912 or "512m"', v);
  integer(-1, Number.MAX_SAFE_INTEGER, 'a size in bytes')(sizeOf(v, path), path);
};

const whole = count(0);
const orNull =
  (inner: Check): Check =>
  (v, path) => {
    if (v !== null) inner(v, path);
  };
const text: Check = (v, path) => {
  if (typeof v !== 'string') fail(path, 'a string', v);
};
const rates = orNull(list('rates', shape('a device and its rate', { Path: text, Rate: whole }, ['Path', 'Rate'])));

const check = shape('limits in Docker’s words, such as { Memory: "512m", NanoCpus: 5e8 }', {
  Memory: size,
  MemorySwap: size,
  MemoryReservation: size,
  // -1 is the API's way to say nothing.
  MemorySwappiness: orNull(integer(-1, 100, 'a whole number')),
  OomKillDisable: orNull(yesNo),
  NanoCpus: decimal(0, 8192e9, 'a number'),
  CpuShares: whole,
  CpuPeriod: whole,
  CpuQuota: integer(-1, Number.MAX_SAFE_INTEGER, 'a whole number'),
  CpuRealtimePeriod: whole,
  CpuRealtimeRuntime: whole,
  CpusetCpus: text,
  CpusetMems: text,
  BlkioWeight: count(0, 1000),
  BlkioWeightDevice: orNull(list('weights', shape('a device and its weight', { Path: text, Weight: count(10, 1000) }, ['Path', 'Weight']))),
  BlkioDeviceReadBps: rates,
  BlkioDeviceWriteBps: rates,
  BlkioDeviceReadIOps: rates,
  BlkioDeviceWriteIOps: rates,
  PidsLimit: orNull(integer(-1, 4_194_304, 'a whole number')),
  DeviceCgroupRules: orNull(list('rules such as "c 10:229 rwm"', (v, path) => void parseDeviceRule(v as string, true, path))),
});

const notZero = <T extends number | string>(v: T | undefined): T | undefined => (v === 0 || v === '' ? undefined : v);

function memoryOf(d: DockerResources): Resources {
  const bytes = (key: 'Memory' | 'MemorySwap' | 'MemoryReservation'): number =>
    d[key] === undefined ? 0 : sizeOf(d[key], `resources.${key}`);
  const memory = bytes('Memory');
  const sum = bytes('MemorySwap');
  if (sum > 0 && memory <= 0) fail('resources.MemorySwap', 'given together with Memory', d.MemorySwap);
  if (sum > 0 && sum < memory) fail('resources.MemorySwap', 'at least Memory: it is memory and swap together', d.MemorySwap);
  // Docker allows as much swap as memory when it is told nothing.
  const swap = sum === -1 ? null : sum === 0 ? memory : sum - memory;
  return {
    ...given<Resources>({
      memory: memory > 0 ? memory : undefined,
      memoryReservation: bytes('MemoryReservation') > 0 ? bytes('MemoryReservation') : undefined,
      memorySwappiness: d.MemorySwappiness === -1 ? undefined : d.MemorySwappiness,
      oomKillDisable: d.OomKillDisable === true ? true : undefined,
    }),
    ...(memory > 0 ? { memorySwap: swap } : {}),
  };
}

function cpuOf(d: DockerResources): Resources {
  const nano = notZero(d.NanoCpus);
  const quota = notZero(d.CpuQuota);
  if (nano !== undefined && (quota !== undefined || notZero(d.CpuPeriod) !== undefined))
    fail('resources.NanoCpus', 'left out beside CpuQuota and CpuPeriod: both say the same', d.NanoCpus);
  const period = notZero(d.CpuPeriod) ?? 100_000;
  const cpus = nano === undefined ? (quota === undefined || quota < 0 ? undefined : quota / period) : nano / 1e9;
  const shares = notZero(d.CpuShares);
  return given<Resources>({
    cpus,
    cpuPeriodUs: cpus === undefined || period === 100_000 ? undefined : period,
    cpuShares: shares === undefined ? undefined : Math.max(2, Math.min(262_144, shares)),
    cpuRealtimePeriodUs: notZero(d.CpuRealtimePeriod),
    cpuRealtimeRuntimeUs: notZero(d.CpuRealtimeRuntime),
    cpusetCpus: notZero(d.CpusetCpus),
    cpusetMems: notZero(d.CpusetMems),
  });
}

function ioOf(d: DockerResources): Resources {
  const all = new Map<string, Record<string, number>>();
  const note = (path: string, key: string, value: number): void => void all.set(path, { ...all.get(path), [key]: value });
  const throttles = {
    readBps: d.BlkioDeviceReadBps,
    writeBps: d.BlkioDeviceWriteBps,
    readIops: d.BlkioDeviceReadIOps,
    writeIops: d.BlkioDeviceWriteIOps,
  };
  for (const [key, devices] of Object.entries(throttles)) for (const { Path, Rate } of devices ?? []) if (Rate > 0) note(Path, key, Rate);
  for (const { Path, Weight } of d.BlkioWeightDevice ?? []) note(Path, 'weight', ioWeightFromBlkio(Weight));
  const io: IoLimit[] = [...all].map(([device, limits]) => ({ device, ...limits }));
  return given<Resources>({ blkioWeight: notZero(d.BlkioWeight), io: io.length === 0 ? undefined : io });
}

function devicesOf(rules: readonly string[] | null | undefined): DeviceRule[] | undefined {
  if (!rules || rules.length === 0) return undefined;
  return [...fullRules('default'), ...rules.map((r) => parseDeviceRule(r))].map(({ major, minor, ...r }) => ({
    ...r,
    ...(major === null ? {} : { major }),
    ...(minor === null ? {} : { minor }),
  }));
}

/**
 * Translates limits in Docker's words: 0 is "not asked for", `MemorySwap` is the sum of memory and swap and by default
 * twice the memory, `NanoCpus` are billionths of a core. Other keys of a HostConfig are refused: pick those that limit.
 *
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for what is no such object; the values are checked again when used
 * @example
 * ```ts
 * const box = await createCgroup(parent, 'job', resourcesFromDocker({ Memory: '512m', NanoCpus: 5e8, PidsLimit: 100 }))
 * ```
 */
export function resourcesFromDocker(docker: DockerResources): Resources {
  check(docker, 'resources');
  const { PidsLimit: pids } = docker;
  return {
    ...memoryOf(docker),
    ...cpuOf(docker),
    ...ioOf(docker),
    ...given<Resources>({ pids: pids != null && pids > 0 ? pids : undefined, devices: devicesOf(docker.DeviceCgroupRules) }),
  };
}
