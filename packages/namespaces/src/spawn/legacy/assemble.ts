// One step becomes several, or none: what it left out or went on with must still be left out and gone on with.
import type { Step } from '@ctr/internal/steps';

/** A step and where it goes on: at another of the original steps, or so many further along in the same rewriting. */
export interface Emitted {
  step: Step;
  /** Original index. */
  ok?: number;
  allowed?: number;
  /** How many of the following to leave out. */
  skipOk?: number;
  skipAllowed?: number;
}

/** Rewrites each step of a group; `rewrite` gives undefined for one that stays as it is. */
export function reassemble(steps: readonly Step[], rewrite: (step: Step, index: number) => Emitted[] | undefined): Step[] {
  const starts: number[] = [];
  const out: Emitted[] = [];
  steps.forEach((step, i) => {
    starts.push(out.length);
    out.push(...(rewrite(step, i) ?? [plain(step, i)]));
  });
  starts.push(out.length);
  const distance = (from: number, to: number | undefined, skip: number | undefined): number =>
    to === undefined ? (skip ?? 0) : (starts[to] as number) - from - 1;
  return out.map(({ step, ok, allowed, skipOk, skipAllowed }, at) => {
    const { skipOnSuccess: _, skipOnAllowed: __, ...rest } = step;
    const [onSuccess, onAllowed] = [distance(at, ok, skipOk), distance(at, allowed, skipAllowed)];
    return { ...rest, ...(onSuccess > 0 ? { skipOnSuccess: onSuccess } : {}), ...(onAllowed > 0 ? { skipOnAllowed: onAllowed } : {}) };
  });
}

/** Where a step that stays goes on. */
export const targets = (step: Step, i: number): Pick<Emitted, 'ok' | 'allowed'> => ({
  ok: i + 1 + (step.skipOnSuccess ?? 0),
  allowed: i + 1 + (step.skipOnAllowed ?? 0),
});

const plain = (step: Step, i: number): Emitted => ({ step, ...targets(step, i) });
