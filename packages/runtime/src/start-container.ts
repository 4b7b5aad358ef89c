// From checked options to a running container. What does not depend on each other is done at the same time; a failure
// leaves nothing behind.
import { constants, open as openFile } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { AbortError, syscallErrorFrom } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { type ContainerProcess, spawn } from '@ctr/namespaces';
import { changedLayer } from './changes.js';
import { CleanupStack, withCleanup } from './cleanup-stack.js';
import { Container } from './container.js';
import { explainFailure } from './explain-failure.js';
import { startFiltered } from './oci/listener.js';
import { makeMountMaps } from './oci/mount-maps.js';
import type { OciNamespaceType, OciSpec } from './oci/types.js';
import type { RunSpec } from './options/run-schema.js';
import { parseSignal } from './options/units.js';
import { type ContainerInput, planContainer } from './plan-container.js';
import { forgetImage, prepareRoot } from './prepare-root.js';
import { forgetSession, lostSession, openSession, type Session } from './session/session.js';
import { type Compiled, newId, recipeFor } from './start-recipe.js';
import { planStdio } from './stdio.js';
import { prepareUserns } from './userns/prepare-userns.js';
import { checkWritableLayer, openSizedLayer, prepareWritableLayer } from './writable-layer.js';

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

interface Launch {
  readonly process: Promise<ContainerProcess>;
  readonly compiled: Compiled;
}

/** One of its kind: with what the caller joins or changes. */
async function launchOnce(input: ContainerInput): Promise<Launch> {
  const plan = planContainer(input);
  const undo = new CleanupStack();
  const process = Promise.all([openNamespaces(plan.oci, undo), makeMountMaps(plan.oci.mounts, undo)])
    .then(([joined, mountMaps]) => startFiltered(plan.filter, () => spawn(plan.spawnOptions(joined, mountMaps))))
    .finally(() => undo.unwind());
  return { process, compiled: { command: plan.oci.process.args, oci: plan.oci, directories: plan.cgroup.directories } };
}

/** To make a recipe and to launch are a turn of the event loop each, so that nobody waits for both. */
async function launch(input: ContainerInput): Promise<Launch> {
  const { recipe, isNew } = recipeFor(input);
  if (recipe === undefined) return launchOnce(input);
  if (isNew) await setImmediate();
  return recipe.start(input);
}

function containerOf(input: ContainerInput, process: ContainerProcess, compiled: Compiled): Container {
  const { id, spec, root, stdio } = input;
  return new Container({
    id,
    process,
    spec,
    runSpec: spec,
    stdio,
    command: compiled.command,
    get oci() {
      return compiled.oci;
    },
    get directories() {
      return compiled.directories;
    },
    root: root.label,
    origin: root.origin,
    changed: () => changedLayer(input, compiled.oci),
    stopSignal: spec.stopSignal ?? parseSignal(root.image?.StopSignal) ?? 'SIGTERM',
  });
}

/** @throws {AbortError} once the container that was already there is gone. */
async function unlessAborted(container: Container, spec: RunSpec): Promise<Container> {
  if (!spec.signal?.aborted) return container;
  const error = new AbortError('start a container', spec.signal.reason);
  await container[Symbol.asyncDispose]().catch((failure: Error) => withCleanup(error, [failure]));
  throw error;
}

async function startIn(session: Session, spec: RunSpec): Promise<Container> {
  await checkWritableLayer(spec, session);
  const [root] = await Promise.all([prepareRoot(spec, session), prepareWritableLayer(spec, session)]);
  const user = await root.user(spec.user);
  throwIfAborted(spec);
  const undo = new CleanupStack();
  try {
    const { spec: placed, ids } = await prepareUserns(spec, root, session.host, user);
    if (ids !== undefined) undo.defer(() => ids.release());
    const id = newId();
    const sized = await openSizedLayer(spec, session, id);
    if (sized !== undefined) undo.defer(() => sized.remove());
    const container = await start({ id, spec: placed, root, user, session, stdio: planStdio(spec), ids, sized });
    // The overlay is mounted: the device goes with it.
    sized?.close();
    void container.cleaned.catch(() => {}).then(() => undo.unwind());
    return await unlessAborted(container, spec);
  } catch (error) {
    throw withCleanup(error, await undo.unwind());
  }
}

async function start(input: ContainerInput): Promise<Container> {
  const { spec, root } = input;
  const { process, compiled } = await launch(input);
  try {
    return containerOf(input, await process, compiled);
  } catch (error) {
    await forgetImage(spec);
    throw await explainFailure(error, root, compiled.oci);
  }
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
