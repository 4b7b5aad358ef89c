// The cost model of block devices, by which v2 shares them out (`ioWeight`). Its files are the root cgroup's alone: what is
// set here holds for the whole host, so nothing else of this package touches them. See cgroup-v2.rst, "IO Interface Files".
import { readFileSync } from 'node:fs';
import { assertLinux, syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import { blockDevice, blockDeviceNumber } from './block-device.js';
import { type Check, count, decimal, integer, shape, yesNo } from './checks.js';
import { parseNested } from './controllers/controller.js';
import { parseHierarchies } from './host/parse.js';
import { tryRead, writeControl } from './kernfs.js';

/** How well a device has to answer before its cost model slows its users down. `undefined` leaves what the kernel has. */
export interface IoCost {
  /** Whether the device is shared out by cost. */
  readonly enabled: boolean;
  /** That many per cent of reads … */
  readonly readPercentile?: number | undefined;
  /** … take at most this many microseconds. */
  readonly readLatencyUs?: number | undefined;
  /** That many per cent of writes … */
  readonly writePercentile?: number | undefined;
  /** … take at most this many microseconds. */
  readonly writeLatencyUs?: number | undefined;
  /** Least and most that the model's speed is scaled to, in percent, 1 to 10000. */
  readonly minPercent?: number | undefined;
  /** See `minPercent`. */
  readonly maxPercent?: number | undefined;
}

const FILE = 'io.cost.qos';
const percentile: Check = decimal(0, 100, 'a percentage');
const latency: Check = integer(0, 60_000_000, 'a whole number of microseconds');
const scale: Check = count(1, 10_000);

const check = shape(
  'a cost model such as { enabled: true }',
  {
    enabled: yesNo,
    readPercentile: percentile,
    readLatencyUs: latency,
    writePercentile: percentile,
    writeLatencyUs: latency,
    minPercent: scale,
    maxPercent: scale,
  },
  ['enabled'],
);

const KEYS = {
  readPercentile: 'rpct',
  readLatencyUs: 'rlat',
  writePercentile: 'wpct',
  writeLatencyUs: 'wlat',
  minPercent: 'min',
  maxPercent: 'max',
} as const;

/** In a cgroup namespace the root that is seen is not the root. */
function file(): string {
  assertLinux('cgroups');
  const seen = parseHierarchies(readFileSync('/proc/self/mountinfo', 'utf8'), '0::/\n').flatMap((h) => h.places);
  const found = seen.map((p) => `${p.mountPoint}/${FILE}`).find((f) => tryRead(f) !== null);
  if (found !== undefined) return found;
  throw new UnsupportedError('the cost model of block devices', 'the root of cgroup2 with the io controller', `no ${FILE}`, {
    hint: 'the kernel option BLK_CGROUP_IOCOST, and not within a cgroup namespace',
  });
}

/**
 * The cost models that are set, by 'major:minor'.
 *
 * @throws {UnsupportedError} CTR_UNSUPPORTED without the root of cgroup2, or a kernel without iocost
 */
export async function readIoCost(): Promise<Readonly<Record<string, IoCost>>> {
  const all = Object.entries(parseNested(tryRead(file())));
  return Object.fromEntries(
    all.map(([device, values]) => {
      const numbers = Object.entries(KEYS).flatMap(([key, word]) => (values[word] === undefined ? [] : [[key, Number(values[word])]]));
      return [device, { enabled: values['enable'] === '1', ...Object.fromEntries(numbers) }];
    }),
  );
}

/**
 * Sets the cost model of a block device, for the whole host.
 *
 * @param device a whole disk: '/dev/sda' or '8:0'
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad device or value
 * @throws {UnsupportedError} CTR_UNSUPPORTED without the root of cgroup2, or a kernel without iocost
 * @throws {SyscallError} EACCES when this user is not root
 * @example
 * ```ts
 * await setIoCost('/dev/sda', { enabled: true, readPercentile: 95, readLatencyUs: 10_000 })
 * ```
 */
export async function setIoCost(device: string, cost: IoCost): Promise<void> {
  blockDevice(device, 'device');
  check(cost, 'cost');
  const words = Object.entries(KEYS).flatMap(([key, word]) => {
    const value = cost[key as keyof typeof KEYS];
    return value === undefined ? [] : [`${word}=${Number.isInteger(value) ? value : value.toFixed(2)}`];
  });
  // The kernel takes a quality of one's own only with ctrl=user.
  const text = [blockDeviceNumber(device), `enable=${cost.enabled ? 1 : 0}`, ...(words.length > 0 ? ['ctrl=user', ...words] : [])].join(
    ' ',
  );
  const target = file();
  await writeControl(target, text).catch((error: unknown) => {
    throw syscallErrorFrom(error, `set the cost model of ${device}`);
  });
}
