// What may be said about one block device.
import { blockDevice, blockDeviceNumber } from '../block-device.js';
import { type Check, count, fail, integer, list, orNull, shape } from '../checks.js';

/** Limits for one block device. `undefined` sets none; `null` in an update lifts the one there is. */
export interface IoLimit {
  /** A whole disk: its path, as '/dev/sda', or its number, as '8:0'. */
  readonly device: string;
  /** Most bytes read in a second. */
  readonly readBps?: number | null | undefined;
  /** Most bytes written in a second. What the page cache takes is written later, on v1 by nobody's account. */
  readonly writeBps?: number | null | undefined;
  /** Most read operations in a second. */
  readonly readIops?: number | null | undefined;
  /** Most write operations in a second. */
  readonly writeIops?: number | null | undefined;
  /** Other cgroups are held back when operations take longer than this many microseconds on average. Needs v2. */
  readonly latencyTargetUs?: number | null | undefined;
  /** Share of this device when it is contended, 1 to 10000; see `ioWeight`. */
  readonly weight?: number | null | undefined;
}

const rate = orNull(count(1));

const checkLimit = shape(
  'limits for a block device, such as { device: "/dev/sda", writeBps: 1e6 }',
  {
    device: blockDevice,
    readBps: rate,
    writeBps: rate,
    readIops: orNull(count(1, 4_294_967_295)),
    writeIops: orNull(count(1, 4_294_967_295)),
    latencyTargetUs: orNull(integer(1, 60_000_000, 'a whole number of microseconds')),
    weight: orNull(count(1, 10_000)),
  },
  ['device'],
);

/** The check of `resources.io`. */
export const ioOption: Check = (v, path) => {
  list('limits for block devices', checkLimit)(v, path);
  const seen = new Set<string>();
  for (const [i, { device }] of (v as IoLimit[]).entries()) {
    const number = blockDeviceNumber(device);
    if (seen.has(number)) fail(`${path}[${i}].device`, 'another device than those before it', device);
    seen.add(number);
  }
};

/** '8:0'. */
export const ioDevice = (l: IoLimit): string => blockDeviceNumber(l.device);
