// Owners on disk as a user namespace shows them: user_namespaces(7).
import { InvalidArgumentError } from '@ctr/internal/errors';
import { checkObject } from './check-options.js';
import type { ScannedEntry } from './native.js';

/** A range of ids, as in `@ctr/namespaces`. */
export interface IdRange {
  /** The first id inside. */
  readonly containerId: number;
  /** What it is outside, and so on disk. */
  readonly hostId: number;
  readonly size: number;
}

/** The maps of a user namespace. */
export interface IdMaps {
  readonly uid: readonly IdRange[];
  readonly gid: readonly IdRange[];
}

const OVERFLOW_ID = 65_534;
const MAX_ID = 2 ** 32;

/** @throws InvalidArgumentError */
export function checkIdMaps(maps: unknown, path: string): void {
  checkObject(maps, path, ['uid', 'gid', 'setgroups']);
  for (const kind of ['uid', 'gid'] as const) {
    const ranges = maps[kind];
    if (!Array.isArray(ranges) || ranges.length === 0) throw new InvalidArgumentError(`${path}.${kind}`, 'an array of ranges', ranges);
    for (const [i, range] of ranges.entries()) {
      checkObject(range, `${path}.${kind}[${i}]`, ['containerId', 'hostId', 'size']);
      for (const key of ['containerId', 'hostId', 'size'])
        if (!Number.isInteger(range[key]) || (range[key] as number) < 0 || (range[key] as number) >= MAX_ID)
          throw new InvalidArgumentError(`${path}.${kind}[${i}].${key}`, 'an integer from 0 to 4294967295', range[key]);
    }
  }
}

const inside = (ranges: readonly IdRange[], id: number): number => {
  const range = ranges.find((r) => id >= r.hostId && id < r.hostId + r.size);
  return range === undefined ? OVERFLOW_ID : range.containerId + id - range.hostId;
};

const V3_SIZE = 24;
const REVISION = 0xff000000;

/** native/src/id_map.cc says why. */
function unsigned(value: Buffer, maps: IdMaps): Buffer {
  if (value.length !== V3_SIZE || (value.readUInt32LE(0) & REVISION) >>> 0 !== 0x03000000 || inside(maps.uid, value.readUInt32LE(20)) !== 0)
    return value;
  const plain = Buffer.from(value.subarray(0, 20));
  plain.writeUInt32LE(((value.readUInt32LE(0) & ~REVISION) | 0x02000000) >>> 0, 0);
  return plain;
}

/** An entry with the owners that these maps show; the same entry without maps. */
export function seenInside(maps: IdMaps | undefined, entry: ScannedEntry): ScannedEntry;
export function seenInside(maps: IdMaps | undefined, entry: ScannedEntry | undefined): ScannedEntry | undefined;
export function seenInside(maps: IdMaps | undefined, entry: ScannedEntry | undefined): ScannedEntry | undefined {
  if (maps === undefined || entry === undefined) return entry;
  const capability = entry.xattrs['security.capability'];
  const xattrs = capability === undefined ? entry.xattrs : { ...entry.xattrs, 'security.capability': unsigned(capability, maps) };
  return { ...entry, uid: inside(maps.uid, entry.uid), gid: inside(maps.gid, entry.gid), xattrs };
}

/** As the addon takes them. */
export const flatRanges = (ranges: readonly IdRange[]): Uint32Array =>
  Uint32Array.from(ranges.flatMap((r) => [r.containerId, r.hostId, r.size]));
