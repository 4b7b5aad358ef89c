// What went to and from block devices, in one shape for v1 and v2.
import { parseNested, type Source } from './controller.js';

/** Traffic of one block device, or of all together. What the page cache answers is not in it. */
export interface IoDeviceStats {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly readOperations: number;
  readonly writeOperations: number;
  /** Told to the device to be free. */
  readonly discardBytes: number;
  readonly discardOperations: number;
}

/** The sum over all devices, and each by its number. */
export interface IoStats extends IoDeviceStats {
  /** By 'major:minor'. */
  readonly devices: Readonly<Record<string, IoDeviceStats>>;
}

type Mutable = { -readonly [K in keyof IoDeviceStats]: number };

const KEYS = ['readBytes', 'writeBytes', 'readOperations', 'writeOperations', 'discardBytes', 'discardOperations'] as const;

const none = (): Mutable => Object.fromEntries(KEYS.map((k) => [k, 0])) as Mutable;

function summed(devices: Record<string, Mutable>): IoStats {
  const sum = none();
  for (const d of Object.values(devices)) for (const k of KEYS) sum[k] += d[k];
  return { ...sum, devices };
}

/** v1: lines '8:0 Read 4096', and a 'Total 4096'. */
function addV1(devices: Record<string, Mutable>, text: string | null, words: Readonly<Record<string, keyof Mutable>>): void {
  for (const line of text?.split('\n') ?? []) {
    const [device, operation = '', n] = line.split(' ');
    const key = words[operation];
    if (key === undefined || device === undefined || !device.includes(':')) continue;
    devices[device] ??= none();
    devices[device][key] += Number(n);
  }
}

export function statsV1(s: Source): IoStats | null {
  const bytes = s.read('blkio.throttle.io_service_bytes_recursive');
  if (bytes === null) return null;
  const devices: Record<string, Mutable> = {};
  addV1(devices, bytes, { Read: 'readBytes', Write: 'writeBytes', Discard: 'discardBytes' });
  const operations = { Read: 'readOperations', Write: 'writeOperations', Discard: 'discardOperations' } as const;
  addV1(devices, s.read('blkio.throttle.io_serviced_recursive'), operations);
  return summed(devices);
}

const V2: Readonly<Record<keyof Mutable, string>> = {
  readBytes: 'rbytes',
  writeBytes: 'wbytes',
  readOperations: 'rios',
  writeOperations: 'wios',
  discardBytes: 'dbytes',
  discardOperations: 'dios',
};

/** v2: lines '8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0'. */
export function statsV2(s: Source): IoStats | null {
  const text = s.read('io.stat');
  if (text === null) return null;
  const devices: Record<string, Mutable> = {};
  for (const [device, values] of Object.entries(parseNested(text))) {
    // KERNEL: before 6.8 a device that had no traffic may stand there without its numbers, and the next on the same line.
    const own = none();
    for (const k of KEYS) own[k] = Number(values[V2[k]] ?? 0);
    devices[device] = own;
  }
  return summed(devices);
}
