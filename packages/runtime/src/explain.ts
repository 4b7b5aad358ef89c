// explain(): what runContainer() would do, without doing it.
import { describePlan, describeSpawn } from '@ctr/namespaces';
import type { OciSpec } from './oci/types.js';
import { readRunOptions } from './options/read-options.js';
import type { RunOptions } from './options/run-options.js';
import { planContainer } from './plan-container.js';
import { prepareRoot } from './prepare-root.js';
import { openSession } from './session/session.js';
import { newId } from './start-recipe.js';
import { planStdio } from './stdio.js';
import { prepareUserns } from './userns/prepare-userns.js';

/** What explain() returns. */
export interface Explanation {
  /** The OCI runtime-spec object. */
  readonly oci: OciSpec;
  /** Every system call in order, as strace would print it, with what is no failure and what is undone at the end. */
  readonly plan: string;
}

/**
 * Tells what {@link runContainer} would do with the same arguments: the OCI object and every system call. No program is
 * started. An image that is missing is pulled, unless `pull` says 'never': its layers are part of the answer.
 *
 * @throws what runContainer() throws before it starts anything.
 * @example
 * ```ts
 * console.log((await explain('debian:12', ['true'])).plan)
 * ```
 */
export function explain(options: RunOptions): Promise<Explanation>;
export function explain(image: string, command?: readonly string[], options?: RunOptions): Promise<Explanation>;
export async function explain(first: string | RunOptions, command?: readonly string[], options?: RunOptions): Promise<Explanation> {
  const spec = readRunOptions(first, command, options);
  const session = await openSession();
  const root = await prepareRoot(spec, session);
  const user = await root.user(spec.user);
  const { spec: placed, ids } = await prepareUserns(spec, root, session.host, user);
  try {
    const plan = planContainer({ id: newId(), spec: placed, root, user, session, stdio: planStdio(spec), ids });
    return { oci: plan.oci, plan: describePlan(describeSpawn(plan.spawnOptions(new Map()))) };
  } finally {
    await ids?.release();
  }
}
