// From checked options to a running container. What does not depend on each other is done at the same time; a failure
// leaves nothing behind.
import { randomUUID } from 'node:crypto';
import { constants, open as openFile } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AbortError, syscallErrorFrom } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { spawn } from '@ctr/namespaces';
import { CleanupStack, withCleanup } from './cleanup-stack.js';
import { Container } from './container.js';
import { explainFailure } from './explain-failure.js';
import type { OciNamespaceType, OciSpec } from './oci/types.js';
import type { RunSpec } from './options/run-schema.js';
import { parseSignal } from './options/units.js';
import { type ContainerPlan, planContainer } from './plan-container.js';
import { forgetImage, type PreparedRoot, prepareRoot } from './prepare-root.js';
import { forgetSession, lostSession, openSession, type Session } from './session/session.js';
import { planStdio } from './stdio.js';
import { prepareWritableLayer } from './writable-layer.js';

const open = promisify(openFile);

/** Without waiting: a path that is a FIFO must not hold up the start. */
async function openNamespaces(oci: OciSpec, undo: CleanupStack): Promise<Map<OciNamespaceType, Fd>> {
  const joined = new Map<OciNamespaceType, Fd>();
  await Promise.all(
    oci.linux.namespaces.map(async ({ type, path }) => {
      if (path === undefined) return;
      const fd = Fd.of(
        await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
          throw syscallErrorFrom(error, `join the ${type} namespace`, { hint: 'give the path of a namespace, such as /proc/<pid>/ns/net' });
        }),
      );
      undo.defer(() => fd.close());
      joined.set(type, fd);
    }),
  );
  return joined;
}

function throwIfAborted(spec: RunSpec): void {
  if (spec.signal?.aborted) throw new AbortError('start a container', spec.signal.reason);
}

/** Planning and launching are a turn of the event loop each, so that nobody waits for both. */
async function launch(
  spec: RunSpec,
  id: string,
  plan: ContainerPlan,
  root: PreparedRoot,
  stdio: ReturnType<typeof planStdio>,
): Promise<Container> {
  const undo = new CleanupStack();
  try {
    const [joined] = await Promise.all([openNamespaces(plan.oci, undo), setImmediate()]);
    const process = await spawn(plan.spawnOptions(joined));
    return new Container({
      id,
      process,
      spec,
      runSpec: spec,
      stdio,
      oci: plan.oci,
      command: plan.oci.process.args,
      directories: plan.cgroup.directories,
      root: root.label,
      stopSignal: spec.stopSignal ?? parseSignal(root.image?.StopSignal) ?? 'SIGTERM',
    });
  } finally {
    await undo.unwind();
  }
}

/** @throws {AbortError} once the container that was already there is gone. */
async function unlessAborted(container: Container, spec: RunSpec): Promise<Container> {
  if (!spec.signal?.aborted) return container;
  const error = new AbortError('start a container', spec.signal.reason);
  await container[Symbol.asyncDispose]().catch((failure: Error) => withCleanup(error, [failure]));
  throw error;
}

async function startIn(session: Session, spec: RunSpec): Promise<Container> {
  const [root] = await Promise.all([prepareRoot(spec, session), prepareWritableLayer(spec, session)]);
  const user = await root.user(spec.user);
  throwIfAborted(spec);
  const id = randomUUID().replaceAll('-', '');
  const stdio = planStdio(spec);
  const plan = planContainer({ id, spec, root, user, session, stdio });
  let container: Container;
  try {
    container = await launch(spec, id, plan, root, stdio);
  } catch (error) {
    await forgetImage(spec);
    throw await explainFailure(error, root, plan.oci);
  }
  return unlessAborted(container, spec);
}

export async function startContainer(spec: RunSpec): Promise<Container> {
  throwIfAborted(spec);
  const session = await openSession();
  try {
    return await startIn(session, spec);
  } catch (error) {
    if (!lostSession(error, session)) throw error;
    forgetSession(session);
    return startIn(await openSession(), spec);
  }
}
