// Huge pages, of each size. Going over the limit is a SIGBUS at the page fault, not an OOM kill.
import type { Resources } from '../resources.js';
import {
  type Controller,
  given,
  type Place,
  parseFlat,
  parseLimit,
  parseNumber,
  type Rendered,
  type Source,
  setting,
} from './controller.js';

/** Huge pages of one size. */
export interface HugetlbStats {
  readonly usageBytes: number;
  /** Set aside by mmap and not touched yet, together with those in use; null where it is not told. */
  readonly reservedBytes: number | null;
  /** Null when there is no limit. */
  readonly limitBytes: number | null;
  /** How often the limit was met. */
  readonly limitHits: number;
}

/** Sizes that the kernel names, by the files there are: 2MB on every x86, 1GB on most. */
const SIZES = ['64KB', '1MB', '2MB', '16MB', '32MB', '512MB', '1GB', '2GB', '16GB'];

function render(r: Resources, place: Place): Rendered[] {
  const [max, reserved, none] = place.version === 1 ? ['limit_in_bytes', 'rsvd.limit_in_bytes', '-1'] : ['max', 'rsvd.max', 'max'];
  return Object.entries(r.hugetlb ?? {}).flatMap(([size, value]) => {
    const one = { option: 'hugetlb', controller: 'hugetlb', value, none, feature: `a limit on huge pages of ${size}` } as const;
    const file = `hugetlb.${size}.${reserved}`;
    // As runc does: what is set aside without being touched counts too, where the kernel can (5.7).
    const both = place.has(file) ? setting(place, { ...one, file }) : [];
    return [...setting(place, { ...one, file: `hugetlb.${size}.${max}` }), ...both];
  });
}

function statsOf(s: Source, size: string): HugetlbStats | null {
  const v1 = s.version === 1;
  const file = (name: string): string | null => s.read(`hugetlb.${size}.${name}`);
  const usage = parseNumber(file(v1 ? 'usage_in_bytes' : 'current'));
  if (usage === null) return null;
  const hits = v1 ? parseNumber(file('failcnt')) : parseFlat(file('events'))['max'];
  return {
    usageBytes: usage,
    reservedBytes: parseNumber(file(v1 ? 'rsvd.usage_in_bytes' : 'rsvd.current')),
    limitBytes: parseLimit(file(v1 ? 'limit_in_bytes' : 'max')),
    limitHits: hits ?? 0,
  };
}

function bySize(s: Source | null): Record<string, HugetlbStats> {
  return given(Object.fromEntries(s === null ? [] : SIZES.map((size) => [size, statsOf(s, size)])));
}

export const hugetlb: Controller<Readonly<Record<string, HugetlbStats>>> = {
  name: 'hugetlb',
  options: ['hugetlb'],
  render,
  collected: () => [],
  stats: (sources) => {
    const s = sources('hugetlb');
    return s === null ? null : bySize(s);
  },
  limits: (sources) => {
    const limited = Object.entries(bySize(sources('hugetlb'))).flatMap(([size, x]) =>
      x.limitBytes === null ? [] : [[size, x.limitBytes]],
    );
    return limited.length === 0 ? {} : { hugetlb: Object.fromEntries(limited) };
  },
};
