// What the launcher needs of a plan: its message now, and the plan itself only when something has to be said about it.
import type { EncodedPlan } from './encode-plan.js';
import { encodePlan } from './encode-plan.js';
import { type Plan, stepAt } from './plan.js';

export interface PlanSource {
  /** What is being done, for messages. */
  readonly doing: string;
  /** Made when it is first asked for. */
  readonly plan: Plan;
  encode(id: number, kind: 'launch' | 'hold'): EncodedPlan;
  /** The path that a step of the collect stage reports. */
  collectedPath(step: number): string;
}

/** A plan of which there is just this one. */
export const planSource = (plan: Plan): PlanSource => ({
  doing: plan.doing,
  plan,
  encode: (id, kind) => encodePlan(plan, id, kind),
  collectedPath: (step) => String(stepAt(plan.stages.collect, step)?.args[0]),
});
