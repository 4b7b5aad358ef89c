// OCI's `linux.resources` in our words, as the OCI runtimes understand it.
// See https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups
import { type Check, count, decimal, fail, integer, list, oneOf, record, shape, yesNo } from '../checks.js';
import { given } from '../controllers/controller.js';
import type { DeviceRule } from '../controllers/device-rules.js';
import type { IoLimit } from '../controllers/io.js';
import { ioWeightFromBlkio, swapFromSum } from '../conversions.js';
import type { Resources } from '../resources.js';

interface OciThrottle {
  readonly major: number;
  readonly minor: number;
  readonly rate: number;
}

/** `linux.resources` of an OCI runtime configuration, version 1.2. */
export interface OciLinuxResources {
  readonly devices?: readonly {
    readonly allow: boolean;
    readonly type?: string;
    readonly major?: number;
    readonly minor?: number;
    readonly access?: string;
  }[];
  readonly memory?: {
    /** Bytes; -1 is no limit. */
    readonly limit?: number;
    readonly reservation?: number;
    /** Memory and swap together; -1 is no limit. */
    readonly swap?: number;
    readonly kernel?: number;
    readonly kernelTCP?: number;
    readonly swappiness?: number;
    readonly disableOOMKiller?: boolean;
    readonly useHierarchy?: boolean;
    /** For {@link Cgroup.update}: see {@link UpdateOptions.checkBeforeUpdate}. */
    readonly checkBeforeUpdate?: boolean;
  };
  readonly cpu?: {
    readonly shares?: number;
    readonly quota?: number;
    readonly burst?: number;
    readonly period?: number;
    readonly realtimeRuntime?: number;
    readonly realtimePeriod?: number;
    readonly cpus?: string;
    readonly mems?: string;
    readonly idle?: number;
  };
  readonly blockIO?: {
    readonly weight?: number;
    readonly leafWeight?: number;
    readonly weightDevice?: readonly {
      readonly major: number;
      readonly minor: number;
      readonly weight?: number;
      readonly leafWeight?: number;
    }[];
    readonly throttleReadBpsDevice?: readonly OciThrottle[];
    readonly throttleWriteBpsDevice?: readonly OciThrottle[];
    readonly throttleReadIOPSDevice?: readonly OciThrottle[];
    readonly throttleWriteIOPSDevice?: readonly OciThrottle[];
  };
  readonly pids?: { readonly limit?: number };
  readonly hugepageLimits?: readonly { readonly pageSize: string; readonly limit: number }[];
  readonly network?: { readonly classID?: number; readonly priorities?: readonly { readonly name: string; readonly priority: number }[] };
  readonly rdma?: Readonly<Record<string, { readonly hcaHandles?: number; readonly hcaObjects?: number }>>;
  readonly unified?: Readonly<Record<string, string>>;
}

const MOST = Number.MAX_SAFE_INTEGER;
const anyText: Check = (v, path) => {
  if (typeof v !== 'string') fail(path, 'a string', v);
};
const whole = count(0);
const orMinusOne = integer(-1, MOST, 'a whole number');
const device = { major: integer(-1, 4095, 'a number'), minor: integer(-1, 1_048_575, 'a number') };
const throttle = list('rates', shape('a device and its rate', { ...device, rate: whole }, ['major', 'minor', 'rate']));
const weight = shape('a device and its weight', { ...device, weight: count(10, 1000), leafWeight: count(10, 1000) }, ['major', 'minor']);
/** Of no meaning any more: kernel memory limits are gone from Linux, hierarchy is always used, leaf weights went with CFQ. */
const ignored: Check = () => undefined;

const check = shape('the resources of an OCI configuration (linux.resources)', {
  devices: list(
    'device rules',
    shape('a device rule', { allow: yesNo, type: oneOf('a', 'b', 'c'), ...device, access: anyText }, ['allow']),
  ),
  memory: shape('limits of memory', {
    limit: orMinusOne,
    reservation: orMinusOne,
    swap: orMinusOne,
    kernel: ignored,
    kernelTCP: ignored,
    swappiness: count(0, 100),
    disableOOMKiller: yesNo,
    useHierarchy: ignored,
    checkBeforeUpdate: yesNo,
  }),
  cpu: shape('limits of the CPU', {
    shares: whole,
    quota: orMinusOne,
    burst: whole,
    period: whole,
    realtimeRuntime: whole,
    realtimePeriod: whole,
    cpus: anyText,
    mems: anyText,
    idle: decimal(0, 1, '0 or 1,'),
  }),
  blockIO: shape('limits of block devices', {
    weight: count(0, 1000),
    leafWeight: ignored,
    weightDevice: list('weights', weight),
    throttleReadBpsDevice: throttle,
    throttleWriteBpsDevice: throttle,
    throttleReadIOPSDevice: throttle,
    throttleWriteIOPSDevice: throttle,
  }),
  pids: shape('a limit on processes', { limit: orMinusOne }),
  hugepageLimits: list(
    'limits on huge pages',
    shape('a page size and its limit', { pageSize: anyText, limit: whole }, ['pageSize', 'limit']),
  ),
  network: shape('marks of packets', {
    classID: whole,
    priorities: list('priorities', shape('an interface and its priority', { name: anyText, priority: whole }, ['name', 'priority'])),
  }),
  rdma: record('RDMA devices', /^\S+$/, 'the name of a device', shape('limits of a device', { hcaHandles: whole, hcaObjects: whole })),
  unified: ignored,
});

/** OCI's -1 is no limit; 0 and nothing mean "not asked for", as in runc. */
const limitOf = (n: number | undefined): number | null | undefined => (n === undefined || n === 0 ? undefined : n === -1 ? null : n);

const notZero = (n: number | undefined): number | undefined => (n === 0 ? undefined : n);

function memoryOf(m: NonNullable<OciLinuxResources['memory']>): Resources {
  const sum = m.swap;
  if (sum !== undefined && sum > 0 && m.limit !== undefined && m.limit > 0 && sum < m.limit)
    fail('resources.memory.swap', `at least memory.limit, ${m.limit}: it is memory and swap together`, sum);
  const swap = swapFromSum(sum, m.limit);
  return {
    ...given<Resources>({ memorySwappiness: m.swappiness, oomKillDisable: m.disableOOMKiller === true ? true : undefined }),
    ...maybe('memory', limitOf(m.limit)),
    ...maybe('memoryReservation', limitOf(m.reservation)),
    // OCI without a word about swap leaves it unlimited, where we would allow none.
    ...maybe('memorySwap', swap === undefined && limitOf(m.limit) != null ? null : swap),
  };
}

/** Null is a word of ours and has to stay. */
const maybe = <K extends keyof Resources>(key: K, value: Resources[K] | null | undefined): Partial<Record<K, Resources[K] | null>> =>
  value === undefined ? {} : ({ [key]: value } as Record<K, Resources[K] | null>);

function cpuOf(c: NonNullable<OciLinuxResources['cpu']>): Resources {
  const period = notZero(c.period) ?? 100_000;
  const quota = limitOf(c.quota);
  return {
    ...given<Resources>({
      cpuPeriodUs: typeof quota === 'number' && period !== 100_000 ? period : undefined,
      cpuBurstUs: notZero(c.burst),
      cpuIdle: c.idle === 1 ? true : undefined,
      // The kernel takes the ends of the range for what lies beyond.
      cpuShares: c.shares === undefined || c.shares === 0 || c.idle === 1 ? undefined : Math.max(2, Math.min(262_144, c.shares)),
      cpuRealtimeRuntimeUs: notZero(c.realtimeRuntime),
      cpuRealtimePeriodUs: notZero(c.realtimePeriod),
      cpusetCpus: c.cpus || undefined,
      cpusetMems: c.mems || undefined,
    }),
    ...maybe('cpus', typeof quota === 'number' ? quota / period : quota),
  };
}

function ioOf(b: NonNullable<OciLinuxResources['blockIO']>): Resources {
  const all = new Map<string, Record<string, number | null>>();
  const note = (d: { major: number; minor: number }, key: string, value: number | null): void => {
    const device = `${d.major}:${d.minor}`;
    all.set(device, { ...all.get(device), [key]: value });
  };
  const rates = {
    readBps: b.throttleReadBpsDevice,
    writeBps: b.throttleWriteBpsDevice,
    readIops: b.throttleReadIOPSDevice,
    writeIops: b.throttleWriteIOPSDevice,
  };
  // v1 writes 0 to lift a limit, and so does OCI.
  for (const [key, devices] of Object.entries(rates)) for (const d of devices ?? []) note(d, key, d.rate === 0 ? null : d.rate);
  for (const d of b.weightDevice ?? []) if (d.weight !== undefined) note(d, 'weight', ioWeightFromBlkio(d.weight));
  const io: IoLimit[] = [...all].map(([device, limits]) => ({ device, ...limits }));
  return given<Resources>({ blkioWeight: notZero(b.weight), io: io.length === 0 ? undefined : io });
}

/** -1 and nothing mean every number; OCI's empty access means none, which says nothing. */
function devicesOf(rules: NonNullable<OciLinuxResources['devices']>): DeviceRule[] {
  const number = (n: number | undefined): number | undefined => (n === -1 ? undefined : n);
  return rules
    .filter((r) => r.access !== '')
    .map((r) =>
      given<DeviceRule>({
        allow: r.allow,
        type: r.type as DeviceRule['type'],
        major: number(r.major),
        minor: number(r.minor),
        access: r.access,
      }),
    );
}

/**
 * Translates `linux.resources` of an OCI configuration, as runc and crun understand it: 0 is "not asked for", -1 no limit,
 * `memory.swap` the sum of memory and swap. Kernel memory limits are ignored, as Linux does.
 *
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for what is no such object; the values are checked again when used
 * @see {@link https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#control-groups}
 * @example
 * ```ts
 * const config = JSON.parse(await readFile('config.json', 'utf8'))
 * const box = await createCgroup(parent, 'job', resourcesFromOci(config.linux.resources))
 * ```
 */
export function resourcesFromOci(oci: OciLinuxResources): Resources {
  check(oci, 'resources');
  const { network, pids, hugepageLimits, rdma, unified, devices } = oci;
  const priorities = network?.priorities?.map(({ name, priority }) => [name, priority] as const);
  return {
    ...memoryOf(oci.memory ?? {}),
    ...cpuOf(oci.cpu ?? {}),
    ...ioOf(oci.blockIO ?? {}),
    ...maybe('pids', limitOf(pids?.limit)),
    ...given<Resources>({
      hugetlb: hugepageLimits && Object.fromEntries(hugepageLimits.map((h) => [h.pageSize, h.limit])),
      netClassId: notZero(network?.classID),
      netPriorities: priorities && Object.fromEntries(priorities),
      rdma,
      unified,
      devices: devices && devices.length > 0 ? devicesOf(devices) : undefined,
    }),
  };
}
