// explain(): what runContainer() would do, without doing it.
import { describePlan, describeSpawn } from '@ctr/namespaces';
import type { SizedUpper } from '@ctr/overlayfs';
import { CleanupStack } from './cleanup-stack.js';
import type { OciSpec } from './oci/types.js';
import { readRunOptions } from './options/read-options.js';
import type { RunOptions } from './options/run-options.js';
import type { RunSpec } from './options/run-schema.js';
import { planContainer } from './plan-container.js';
import { prepareRoot } from './prepare-root.js';
import { openSession, type Session } from './session/session.js';
import { newId } from './start-recipe.js';
import { planStdio } from './stdio.js';
import { prepareUserns } from './userns/prepare-userns.js';
import { checkWritableLayer, openSizedLayer, prepareWritableLayer, sizeOnDisk } from './writable-layer.js';

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
  await checkWritableLayer(spec, session);
  const root = await prepareRoot(spec, session);
  const user = await root.user(spec.user);
  const undo = new CleanupStack();
  try {
    const { spec: placed, ids } = await prepareUserns(spec, root, session.host, user);
    if (ids !== undefined) undo.defer(() => ids.release());
    const id = newId();
    const sized = await sizedLayer(spec, session, id);
    if (sized !== undefined) undo.defer(() => sized.remove());
    const plan = planContainer({ id, spec: placed, root, user, session, stdio: planStdio(spec), ids, sized });
    return { oci: plan.oci, plan: describePlan(describeSpawn(plan.spawnOptions(new Map()))) };
  } finally {
    await undo.unwind();
  }
}

/** Made, so that the device and what is mounted of it can be shown; it goes as soon as that is told. */
async function sizedLayer(spec: RunSpec, session: Session, id: string): Promise<SizedUpper | undefined> {
  if (sizeOnDisk(spec, session) === undefined) return undefined;
  await prepareWritableLayer(spec, session);
  return openSizedLayer(spec, session, id);
}
