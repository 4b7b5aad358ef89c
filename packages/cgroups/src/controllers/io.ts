// Block device traffic: blkio on v1, io on v2. Statistics only; limits by `unified`.
import type { Controller, Source, Sources } from './controller.js';

/** What went to and from block devices, all devices together. What the page cache answers is not in it. */
export interface IoStats {
  readonly readBytes: number;
  readonly writeBytes: number;
  readonly readOperations: number;
  readonly writeOperations: number;
}

/** v1: lines '8:0 Read 4096', and a 'Total 4096'. */
function sumV1(text: string | null, word: string): number {
  let sum = 0;
  for (const line of text?.split('\n') ?? []) {
    const [device, operation, n] = line.split(' ');
    if (operation === word && device?.includes(':')) sum += Number(n);
  }
  return sum;
}

function statsV1(s: Source): IoStats | null {
  const bytes = s.read('blkio.throttle.io_service_bytes_recursive');
  if (bytes === null) return null;
  const operations = s.read('blkio.throttle.io_serviced_recursive');
  return {
    readBytes: sumV1(bytes, 'Read'),
    writeBytes: sumV1(bytes, 'Write'),
    readOperations: sumV1(operations, 'Read'),
    writeOperations: sumV1(operations, 'Write'),
  };
}

/** v2: lines '8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0'. */
function statsV2(s: Source): IoStats | null {
  const text = s.read('io.stat');
  if (text === null) return null;
  const sum = (key: string): number => [...text.matchAll(new RegExp(`\\b${key}=(\\d+)`, 'g'))].reduce((n, m) => n + Number(m[1]), 0);
  return { readBytes: sum('rbytes'), writeBytes: sum('wbytes'), readOperations: sum('rios'), writeOperations: sum('wios') };
}

const stats = (sources: Sources): IoStats | null => {
  const v1 = sources('blkio');
  if (v1 !== null) return statsV1(v1);
  const v2 = sources('io');
  return v2 === null ? null : statsV2(v2);
};

export const io: Controller<IoStats> = { name: 'io', options: [], render: () => [], collected: () => [], stats };

/** v1's name of the same. */
export const blkio: Controller<never> = { name: 'blkio', options: [], render: () => [], collected: () => [], stats: () => null };
