// Statistics at an interval, with what a reader wants of two of them: rates.
import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { CgroupStats, StatsOptions, StatsPart } from './stats.js';

/** What {@link Cgroup.watch} may be told. */
export interface WatchOptions extends StatsOptions {
  /** Milliseconds between two readings, 10 to 3600000. Default: 1000. */
  readonly interval?: number | undefined;
  /** Ends the watching. */
  readonly signal?: AbortSignal | undefined;
}

/** What happened since the reading before, per second. A part is null in the first reading, and when its controller is not there. */
export interface CgroupRates {
  /** CPU time per time: 100 is one core. */
  readonly cpuPercent: number | null;
  /** Time that the limit held it back, per time. */
  readonly throttledPercent: number | null;
  readonly readBytesPerSecond: number | null;
  readonly writeBytesPerSecond: number | null;
}

/** One reading of {@link Cgroup.watch}. */
export interface CgroupSample extends CgroupStats {
  /** Milliseconds since the reading before; 0 for the first. */
  readonly elapsedMs: number;
  readonly rates: CgroupRates;
}

export function checkWatch({ interval = 1000, signal }: WatchOptions): void {
  if (typeof interval !== 'number' || !(interval >= 10 && interval <= 3_600_000))
    throw new InvalidArgumentError('options.interval', 'milliseconds from 10 to 3600000', interval);
  if (signal !== undefined && !(signal instanceof AbortSignal)) throw new InvalidArgumentError('options.signal', 'an AbortSignal', signal);
}

/** Counters of a cgroup that was made anew begin again: that is no negative rate. */
const perMs = (now: number | undefined, before: number | undefined, elapsedMs: number): number | null =>
  now === undefined || before === undefined || elapsedMs <= 0 ? null : Math.max(0, now - before) / elapsedMs;

const times = (n: number | null, by: number): number | null => (n === null ? null : n * by);

/** @internal What is between two readings. */
export function ratesOf(now: CgroupStats, before: CgroupStats | null, elapsedMs: number): CgroupRates {
  return {
    cpuPercent: times(perMs(now.cpu?.usageMs, before?.cpu?.usageMs, elapsedMs), 100),
    throttledPercent: times(perMs(now.cpu?.throttledMs, before?.cpu?.throttledMs, elapsedMs), 100),
    readBytesPerSecond: times(perMs(now.io?.readBytes, before?.io?.readBytes, elapsedMs), 1000),
    writeBytesPerSecond: times(perMs(now.io?.writeBytes, before?.io?.writeBytes, elapsedMs), 1000),
  };
}

/** Ends when the cgroup is gone or the signal fires. The clock is the monotonic one: a reading knows how long it was. */
export async function* watchStats(
  read: (only?: readonly StatsPart[]) => CgroupStats | null,
  options: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<CgroupSample, void, undefined> {
  const interval = options.interval ?? 1000;
  let before: { stats: CgroupStats; at: number } | null = null;
  let due = performance.now();
  while (!signal.aborted) {
    const at = performance.now();
    const stats = read(options.only);
    if (stats === null) return;
    const elapsedMs = before === null ? 0 : at - before.at;
    yield { ...stats, elapsedMs, rates: ratesOf(stats, before?.stats ?? null, elapsedMs) };
    before = { stats, at };
    // A consumer that was slow misses readings, it does not get them in a burst.
    due = Math.max(due + interval, performance.now());
    await sleep(due - performance.now(), undefined, { signal }).catch(() => undefined);
  }
}
