// The frozen groups of a plan, encoded together: their offsets are final, so the next plan with the same ones only
// copies. Containers of one kind share their set; a program that starts many kinds keeps the last few.
import { type EncodedGroup, encodeGroup, PATCH_WORDS, STEP_WORDS } from './encode-group.js';
import type { StepGroup } from './plan.js';
import { sharedSlot } from './slots.js';

const MOST = 32;

export interface FrozenSet {
  /** Finished steps of each group. */
  steps: ReadonlyMap<StepGroup, Uint32Array>;
  patches: Uint32Array;
  data: Uint8Array;
}

interface Kept {
  groups: readonly StepGroup[];
  set: FrozenSet;
}

const recent: Kept[] = [];

/** Thrown inside when the shared slot numbers are used up; the group is then encoded plan by plan. */
class NoSharedSlot extends Error {}

function encodeShared(group: StepGroup): EncodedGroup | undefined {
  try {
    return encodeGroup(group, (name) => {
      const slot = sharedSlot(name);
      if (slot === undefined) throw new NoSharedSlot();
      return slot;
    });
  } catch (e) {
    if (e instanceof NoSharedSlot) return undefined;
    throw e;
  }
}

function build(groups: readonly StepGroup[]): FrozenSet {
  const steps = new Map<StepGroup, Uint32Array>();
  const patches: number[] = [];
  const data: Buffer[] = [];
  let base = 0;
  for (const group of groups) {
    const g = steps.has(group) ? undefined : encodeShared(group);
    if (!g) continue;
    const first = patches.length / PATCH_WORDS;
    for (const o of g.stepOffsets) g.steps[o] = (g.steps[o] as number) + base;
    for (let w = 18; w < g.steps.length; w += STEP_WORDS) g.steps[w] = (g.steps[w] as number) + first;
    for (let p = 0; p < g.patches.length; p += PATCH_WORDS) {
      const [at, kind, value] = g.patches.subarray(p, p + 3) as unknown as [number, number, number];
      patches.push(at + base, kind, kind === 1 ? value + base : value, 0);
    }
    data.push(Buffer.from(g.data));
    base += g.data.length;
    steps.set(group, g.steps);
  }
  return { steps, patches: Uint32Array.from(patches), data: Buffer.concat(data) };
}

/** The set of a plan's frozen groups, in their order. */
export function frozenSetOf(stages: readonly (readonly StepGroup[])[]): FrozenSet {
  const groups: StepGroup[] = [];
  for (const stage of stages) for (const group of stage) if (group.length > 0 && Object.isFrozen(group)) groups.push(group);
  const same = (k: Kept): boolean => k.groups.length === groups.length && k.groups.every((g, i) => g === groups[i]);
  const known = recent.find(same);
  if (known) return known.set;
  const set = build(groups);
  if (recent.length >= MOST) recent.shift();
  recent.push({ groups, set });
  return set;
}
