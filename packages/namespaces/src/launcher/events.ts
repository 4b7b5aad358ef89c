// Messages from the monitor; the mirror of native/init/container.h.
import { signalName } from '../signals.js';

const HEADER_SIZE = 56;
const KINDS = ['', 'ready', 'started', 'failed', 'exited', 'cleaned', 'held', 'parked', 'withdrawn'] as const;
export const STAGE_NAMES = ['decode', 'prepare', 'clone', 'maps', 'beside', 'enter', 'setup', 'kill', 'collect', 'cleanup'] as const;
const CLD_EXITED = 1;

export interface StepFailure {
  step: number;
  errno: number;
}

export interface MonitorEvent {
  kind: (typeof KINDS)[number];
  id: number;
  a: number;
  b: number;
  c: number;
  userUs: number;
  systemUs: number;
  maxRssKb: number;
  monotonicNs: bigint;
  payload: Buffer;
}

export function decodeEvent(m: Buffer): MonitorEvent {
  return {
    kind: KINDS[m.readUInt32LE(0)] ?? '',
    id: m.readUInt32LE(4),
    a: m.readInt32LE(8),
    b: m.readInt32LE(12),
    c: m.readInt32LE(16),
    userUs: Number(m.readBigInt64LE(24)),
    systemUs: Number(m.readBigInt64LE(32)),
    maxRssKb: Number(m.readBigInt64LE(40)),
    monotonicNs: m.readBigUInt64LE(48),
    payload: m.subarray(HEADER_SIZE),
  };
}

/** What `report_file` steps read: step index to content. */
export function decodeFiles(payload: Buffer): Map<number, string> {
  const files = new Map<number, string>();
  for (let at = 0; at + 8 <= payload.length; ) {
    const step = payload.readUInt32LE(at);
    const size = payload.readUInt32LE(at + 4);
    files.set(step, payload.toString('latin1', at + 8, at + 8 + size));
    at += 8 + Math.ceil(size / 8) * 8;
  }
  return files;
}

export function decodeFailures(payload: Buffer): StepFailure[] {
  const failures: StepFailure[] = [];
  for (let at = 0; at + 8 <= payload.length; at += 8) failures.push({ step: payload.readInt32LE(at), errno: payload.readInt32LE(at + 4) });
  return failures;
}

/** siginfo's code and status (waitid(2)) -> exit code or signal, the other is null. */
export function decodeExit(code: number, status: number): { exitCode: number | null; signal: string | null } {
  return code === CLD_EXITED ? { exitCode: status, signal: null } : { exitCode: null, signal: signalName(status) };
}
