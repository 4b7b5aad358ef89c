// Groups of steps that are the same in plan after plan are made once and frozen: the encoder then only copies them.
import type { Step } from '@ctr/internal/steps';

const MOST = 1000;
const kept = new Map<string, readonly Step[]>();

/** The group of this key; `key` must say everything that `make` depends on. */
export function keep(key: string, make: () => Step[]): readonly Step[] {
  let group = kept.get(key);
  if (group === undefined) {
    // Keys come from options, so their number is bounded here and not by them.
    if (kept.size >= MOST) kept.clear();
    group = Object.freeze(make());
    kept.set(key, group);
  }
  return group;
}
