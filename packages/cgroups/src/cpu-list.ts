// The kernel's list format of CPUs and memory nodes: '0-3,6'. See cpuset(7).

const MOST = 65_535;

/** True for '0', '0-3,6', '2,0'; false for '', '3-1', '0-', '1e3', numbers that no kernel has. */
export function isCpuList(text: string): boolean {
  return text.length > 0 && text.length <= 4000 && text.split(',').every((part) => parseRange(part) !== null);
}

function parseRange(part: string): readonly [number, number] | null {
  const m = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part);
  if (m === null) return null;
  const first = Number(m[1]);
  const last = Number(m[2] ?? m[1]);
  return first <= last && last <= MOST ? [first, last] : null;
}

/** The numbers of a list; what is not one is left out. */
export function parseCpuList(text: string): ReadonlySet<number> {
  const all = new Set<number>();
  for (const part of text.trim().split(',')) {
    const range = parseRange(part);
    for (let n = range?.[0] ?? 1; n <= (range?.[1] ?? 0); n += 1) all.add(n);
  }
  return all;
}
