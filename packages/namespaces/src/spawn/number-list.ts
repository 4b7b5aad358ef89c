// Lists such as '0-3,7', as the kernel writes sets of processors and memory nodes (cpuset(7), List format).
import { fail } from './check-values.js';

/** @throws InvalidArgumentError */
export function parseNumberList(value: unknown, path: string, most = 8191): number[] {
  const expected = `a list of numbers and ranges up to ${most}, such as '0-3,7'`;
  if (typeof value !== 'string') fail(path, expected, value);
  const numbers = new Set<number>();
  for (const part of value.split(',')) {
    const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? fail(path, expected, value);
    const [from, to] = [Number(first), Number(last ?? first)];
    if (from > to || to > most) fail(path, expected, value);
    for (let n = from; n <= to; n++) numbers.add(n);
  }
  return [...numbers].sort((a, b) => a - b);
}
