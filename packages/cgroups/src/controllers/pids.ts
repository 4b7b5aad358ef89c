// Number of processes and threads. v1 and v2 have the same files.
import type { Resources } from '../resources.js';
import { type Controller, given, parseFlat, parseLimit, parseNumber, type Source, setting } from './controller.js';

/** Processes and threads. */
export interface PidsStats {
  readonly current: number;
  /** The most there were at once; null where the kernel does not count it. */
  readonly peak: number | null;
  /** Null when there is no limit. */
  readonly limit: number | null;
  /** How often fork or clone failed at the limit. */
  readonly limitHits: number;
}

/** How often the limit was hit; null when it cannot be told. */
export const pidsLimitHits = (source: Source | null): number | null => parseFlat(source?.read('pids.events') ?? null)['max'] ?? null;

export const pids: Controller<PidsStats> = {
  name: 'pids',
  options: ['pids'],
  render: (r, place) =>
    r.pids === undefined
      ? []
      : setting(place, {
          option: 'pids',
          controller: 'pids',
          file: 'pids.max',
          value: r.pids,
          none: 'max',
          feature: 'a limit on the number of processes',
        }),
  collected: () => ['pids.events', 'pids.peak'],
  stats: (sources) => {
    const s = sources('pids');
    const current = parseNumber(s?.read('pids.current') ?? null);
    if (s === null || current === null) return null;
    return {
      current,
      peak: parseNumber(s.read('pids.peak')),
      limit: parseLimit(s.read('pids.max')),
      limitHits: pidsLimitHits(s) ?? 0,
    };
  },
  limits: (sources) => given<Resources>({ pids: parseLimit(sources('pids')?.read('pids.max') ?? null) }),
};
