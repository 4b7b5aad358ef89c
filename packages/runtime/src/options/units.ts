// Sizes, durations and signals as people write them -> bytes, milliseconds and the kernel's names.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { signalName as nameOfSignal, signalNumber } from '@ctr/namespaces';
import { type Schema, scalar } from './schema.js';

const UNIT_BYTES: Readonly<Record<string, number>> = { '': 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 };

/** 512 | '512' | '512m' | '512MB' | '1.5GiB' -> bytes; units are powers of 1024 as in Docker. Undefined: not a size. */
export function parseBytes(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string' || value.length > 32) return undefined;
  const match = /^(\d+(?:\.\d+)?) ?([kmgt]?)(?:i?b)?$/i.exec(value);
  if (match === null) return undefined;
  const bytes = Math.floor(Number(match[1]) * (UNIT_BYTES[(match[2] ?? '').toLowerCase()] ?? Number.NaN));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** 1500 (ms) | '1500ms' | '30s' | '1m30s' | '2h' -> milliseconds. Undefined: not a duration. */
export function parseDuration(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isFinite(value) && value >= 0 ? value : undefined;
  if (typeof value !== 'string' || value.length > 32 || !/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(value)) return undefined;
  return [...value.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)].reduce((sum, m) => sum + Number(m[1]) * (UNIT_MS[m[2] ?? ''] ?? 0), 0);
}

/** The longest delay that a Node timer can hold; a longer one would fire at once. */
const MAX_DELAY = 2 ** 31 - 1;

export function bytes(min = 0, expected = 'bytes or a size like "512MiB"'): Schema<number> {
  const words = min > 0 ? `${expected}, at least ${min}` : expected;
  return scalar(words, (v) => {
    const n = parseBytes(v);
    return n !== undefined && n >= min ? n : undefined;
  });
}

export function duration(min: number): Schema<number> {
  return scalar(`milliseconds or a duration like "30s", from ${min} ms to 24 days`, (v) => {
    const ms = parseDuration(v);
    return ms !== undefined && ms >= min && ms <= MAX_DELAY ? ms : undefined;
  });
}

/** 'SIGTERM', 'term', 15, 'SIGRTMIN+3'. */
export type SignalName = NodeJS.Signals | (string & {}) | number;

/** Any spelling of a signal -> its name, 'SIGTERM' or 'SIGRTMIN+3'. Undefined: no signal. */
export function parseSignal(value: unknown): string | undefined {
  // Most images name none, and an error that is only caught costs each start more than all its other options.
  if (value === undefined) return undefined;
  try {
    return nameOfSignal(signalNumber(value));
  } catch (error) {
    if (error instanceof InvalidArgumentError) return undefined;
    throw error;
  }
}

export const signalName: Schema<string> = scalar('a signal such as "SIGTERM" or a number from 1 to 64', parseSignal);
