// Reading the limits of block devices back.
import type { Resources } from '../resources.js';
import { given, parseLimit, parseNested, parseNumber, type Source } from './controller.js';
import type { IoLimit } from './io-rules.js';

type Found = Map<string, Record<string, number>>;

function note(found: Found, device: string, key: string, value: number | null): void {
  if (value !== null && value > 0) found.set(device, { ...found.get(device), [key]: value });
}

/** Lines '8:0 1048576'. */
function fromV1(s: Source, found: Found): void {
  const files = { readBps: 'read_bps', writeBps: 'write_bps', readIops: 'read_iops', writeIops: 'write_iops' };
  for (const [key, file] of Object.entries(files))
    for (const line of (s.read(`blkio.throttle.${file}_device`) ?? '').split('\n')) {
      const [device, value] = line.split(' ');
      if (device) note(found, device, key, parseLimit(value ?? null));
    }
}

function fromV2(s: Source, found: Found): void {
  const keys = { readBps: 'rbps', writeBps: 'wbps', readIops: 'riops', writeIops: 'wiops' };
  for (const [device, values] of Object.entries(parseNested(s.read('io.max'))))
    for (const [key, word] of Object.entries(keys)) note(found, device, key, parseLimit(values[word] ?? null));
  for (const [device, values] of Object.entries(parseNested(s.read('io.latency'))))
    note(found, device, 'latencyTargetUs', parseLimit(values['target'] ?? null));
  for (const line of (s.read('io.weight') ?? '').split('\n')) {
    const [device, value] = line.split(' ');
    if (device?.includes(':')) note(found, device, 'weight', parseLimit(value ?? null));
  }
}

/** In the host's own numbers, and null for what every cgroup has. */
function weightOf(s: Source): Pick<Resources, 'ioWeight' | 'blkioWeight'> {
  const number = (file: string, none: number): number | null => {
    const n = parseNumber(s.read(file)?.replace(/^default /, '') ?? null);
    return n === none ? null : n;
  };
  if (s.version === 1) return { blkioWeight: number('blkio.weight', 500) ?? number('blkio.bfq.weight', 100) };
  return { ioWeight: number('io.weight', 100), blkioWeight: number('io.bfq.weight', 100) };
}

export function limitsOf(s: Source | null): Resources {
  if (s === null) return {};
  const found: Found = new Map();
  (s.version === 1 ? fromV1 : fromV2)(s, found);
  const io: IoLimit[] = [...found].map(([device, values]) => ({ device, ...values }));
  return given<Resources>({ ...weightOf(s), io: io.length === 0 ? null : io });
}
