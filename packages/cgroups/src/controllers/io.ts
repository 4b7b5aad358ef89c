// Block device traffic: blkio on v1, io on v2.
import { bfqFromIoWeight, blkioFromIoWeight, ioWeightFromBlkio } from '../conversions.js';
import type { Resources } from '../resources.js';
import type { Controller, Place, Rendered, Sources } from './controller.js';
import { noFile, onlyV2, setting } from './controller.js';
import { limitsOf } from './io-limits.js';
import { type IoLimit, ioDevice } from './io-rules.js';
import { type IoStats, statsV1, statsV2 } from './io-stats.js';

export type { IoLimit } from './io-rules.js';
export type { IoDeviceStats, IoStats } from './io-stats.js';

const WEIGHT = 'a share of block device time';
const WEIGHT_HINT = 'io.weight needs the kernel option BLK_CGROUP_IOCOST, io.bfq.weight and v1’s blkio.bfq.weight the scheduler BFQ';

/** The weight as the first of these files takes it. */
function weightFor(file: string, r: Resources): number | null {
  const { ioWeight: w, blkioWeight: b } = r;
  if (file === 'io.weight') return w ?? (b == null ? null : ioWeightFromBlkio(b));
  if (file === 'io.bfq.weight') return b ?? (w == null ? null : bfqFromIoWeight(w));
  return b ?? (w == null ? null : blkioFromIoWeight(w));
}

/** v1's and OCI's number means BFQ where both are: as runc does. */
const files = (place: Place, r: Resources): readonly string[] => {
  if (place.version === 1) return ['blkio.weight', 'blkio.bfq.weight'];
  return r.ioWeight === undefined ? ['io.bfq.weight', 'io.weight'] : ['io.weight', 'io.bfq.weight'];
};

function weight(r: Resources, place: Place): Rendered[] {
  if (r.ioWeight === undefined && r.blkioWeight === undefined) return [];
  const option = r.ioWeight === undefined ? 'blkioWeight' : 'ioWeight';
  const all = files(place, r);
  const file = all.find((f) => place.has(f)) ?? all[0] ?? '';
  const controller = place.version === 1 ? 'blkio' : 'io';
  const none = place.version === 1 && file === 'blkio.weight' ? '500' : '100';
  return setting(place, { option, controller, file, value: weightFor(file, r), none, feature: WEIGHT, hint: WEIGHT_HINT });
}

const v1Limit = (file: string, device: string, value: number | null): Rendered => ({
  option: 'io',
  controller: 'blkio',
  file,
  value: `${device} ${value ?? 0}`,
});

function deviceV1(l: IoLimit, place: Place): Rendered[] {
  const device = ioDevice(l);
  const out: Rendered[] = [];
  const throttle = [
    ['readBps', 'blkio.throttle.read_bps_device'],
    ['writeBps', 'blkio.throttle.write_bps_device'],
    ['readIops', 'blkio.throttle.read_iops_device'],
    ['writeIops', 'blkio.throttle.write_iops_device'],
  ] as const;
  for (const [key, file] of throttle) {
    const value = l[key];
    if (value === undefined) continue;
    out.push(
      place.has(file) ? v1Limit(file, device, value) : noFile('a limit for a block device', file, 'the kernel option BLK_DEV_THROTTLING'),
    );
  }
  if (l.weight !== undefined) {
    const file = ['blkio.weight_device', 'blkio.bfq.weight_device'].find((f) => place.has(f));
    const value = l.weight === null ? 0 : blkioFromIoWeight(l.weight);
    out.push(file === undefined ? noFile(WEIGHT, 'blkio.bfq.weight_device', WEIGHT_HINT) : v1Limit(file, device, value));
  }
  if (typeof l.latencyTargetUs === 'number') out.push(onlyV2('io', 'a target for the latency of a block device', 'io'));
  return out;
}

function maxV2(l: IoLimit, device: string, place: Place): Rendered[] {
  const keys = { readBps: 'rbps', writeBps: 'wbps', readIops: 'riops', writeIops: 'wiops' } as const;
  const words = Object.entries(keys).flatMap(([key, word]) => {
    const value = l[key as keyof typeof keys];
    return value === undefined ? [] : [`${word}=${value ?? 'max'}`];
  });
  if (words.length === 0) return [];
  return setting(place, {
    option: 'io',
    controller: 'io',
    file: 'io.max',
    value: `${device} ${words.join(' ')}`,
    none: '',
    feature: 'a limit for a block device',
    hint: 'the kernel option BLK_DEV_THROTTLING',
  });
}

function deviceV2(l: IoLimit, place: Place): Rendered[] {
  const device = ioDevice(l);
  const out = maxV2(l, device, place);
  if (l.latencyTargetUs !== undefined)
    out.push(
      ...setting(place, {
        option: 'io',
        controller: 'io',
        file: 'io.latency',
        value: `${device} target=${l.latencyTargetUs ?? 0}`,
        none: '',
        feature: 'a target for the latency of a block device',
        hint: 'the kernel option BLK_CGROUP_IOLATENCY',
      }),
    );
  if (l.weight !== undefined) {
    const file = place.has('io.weight') ? 'io.weight' : 'io.bfq.weight';
    const number = l.weight === null ? 'default' : file === 'io.weight' ? l.weight : bfqFromIoWeight(l.weight);
    const put = { option: 'io', controller: 'io', file, value: `${device} ${number}`, none: '' } as const;
    out.push(...setting(place, { ...put, feature: WEIGHT, hint: WEIGHT_HINT }));
  }
  return out;
}

function render(r: Resources, place: Place): Rendered[] {
  const each = place.version === 1 ? deviceV1 : deviceV2;
  return [...weight(r, place), ...(r.io ?? []).flatMap((l) => each(l, place))];
}

const stats = (sources: Sources): IoStats | null => {
  const v1 = sources('blkio');
  if (v1 !== null) return statsV1(v1);
  const v2 = sources('io');
  return v2 === null ? null : statsV2(v2);
};

export const io: Controller<IoStats> = {
  name: 'io',
  v1Name: 'blkio',
  options: ['ioWeight', 'blkioWeight', 'io'],
  render,
  collected: () => [],
  stats,
  limits: (sources) => limitsOf(sources('blkio') ?? sources('io')),
};

/** v1's name of the same, for what it must be known by when a cgroup is made. */
export const blkio: Controller<never> = { name: 'blkio', options: [], render: () => [], collected: () => [], stats: () => null };
