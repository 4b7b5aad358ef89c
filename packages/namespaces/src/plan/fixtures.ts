// For tests: the wire format, read back by hand; the mirror of native/init/plan.h.
import { expect } from 'vitest';
import { type EncodedPlan, MESSAGE_HEADER_SIZE } from './encode-plan.js';

export interface Decoded {
  counts: number[];
  steps: { op: number; into: number; nr: number; args: string[]; allow: number[]; skip: number[] }[];
}

/** Reads a program as the monitor does: with every patch of a step applied to the data before the step is looked at. */
export function decodeProgram(bytes: Uint8Array): Decoded {
  const v = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const counts = [0, 2, 4, 6].map((at) => v.readUInt16LE(at));
  const total = counts.reduce((a, b) => a + b);
  const [patchCount, dataSize] = [v.readUInt16LE(8), v.readUInt32LE(12)];
  const patchesAt = 16 + total * 80;
  const data = v.subarray(patchesAt + patchCount * 16);
  expect([data.length, data.at(-1)]).toEqual([dataSize, 0]);
  const text = (at: number): string => data.toString('utf8', at, data.indexOf(0, at));
  const steps: Decoded['steps'] = [];
  for (let i = 0; i < total; i++) {
    const s = v.subarray(16 + i * 80, 96 + i * 80);
    const [first, n] = [s.readUInt16LE(72), s.readUInt16LE(74)];
    const patched = new Map<number, string>();
    for (let p = first; p < first + n; p++) {
      const at = patchesAt + p * 16;
      const value = Number(v.readBigUInt64LE(at + 8));
      patched.set(v.readUInt32LE(at), v.readUInt16LE(at + 4) === 1 ? `"${text(value)}"` : `slot ${value}`);
    }
    const args = Array.from({ length: 6 }, (_, k) => {
      const value = s.readBigUInt64LE(24 + k * 8);
      if (s[8 + k] === 2) return `slot ${value}`;
      if (s[8 + k] === 0) return String(BigInt.asIntN(64, value));
      const list: string[] = [];
      for (let at = Number(value); patched.has(at); at += 8) list.push(patched.get(at) as string);
      return list.length > 0 ? `[${list}]` : `"${text(Number(value))}"`;
    });
    steps.push({
      op: s.readUInt16LE(0),
      into: s.readInt16LE(2),
      nr: s.readUInt32LE(4),
      args,
      allow: [16, 18, 20, 22].map((o) => s.readUInt16LE(o)).filter((e) => e !== 0),
      skip: [s[14] as number, s[15] as number],
    });
  }
  return { counts, steps };
}

/** Everything that a message says. */
export function decodeMessage({ message, fds, large }: EncodedPlan) {
  const v = Buffer.from(message.buffer, message.byteOffset, message.length);
  const [launch, after] = [v.readUInt32LE(28), v.readUInt32LE(32)];
  const programs = large ?? v.subarray(MESSAGE_HEADER_SIZE);
  return {
    header: {
      magic: v.toString('latin1', 0, 4),
      kind: v.readUInt16LE(4),
      fdCount: v.readUInt16LE(6),
      id: v.readUInt32LE(8),
      flags: v.readUInt32LE(12),
      clone: v.readBigUInt64LE(16),
      cgroup: v.readInt32LE(24),
    },
    fds,
    large: large !== undefined,
    launch: decodeProgram(programs.subarray(0, launch)),
    after: decodeProgram(programs.subarray(launch, launch + after)),
    map: (field: 36 | 40) => {
      const data = v.subarray(MESSAGE_HEADER_SIZE, MESSAGE_HEADER_SIZE + launch);
      const at = data.length - data.readUInt32LE(12) + v.readUInt32LE(field);
      return data.toString('utf8', at, data.indexOf(0, at));
    },
  };
}
