// spawn(): the one crossing from options to a running process.
import { setImmediate } from 'node:timers/promises';
import { assertLinux } from '@ctr/internal/errors';
import { openJoined } from '../namespaces/join.js';
import { NAMESPACE_KINDS } from '../plan/clone-flags.js';
import type { ContainerProcess } from '../process.js';
import { needsPlace, placeAround } from '../userns/user-namespace.js';
import { labelOf } from './attribute-steps.js';
import { checkSpawnOptions } from './check-options.js';
import { describeSpawn, type SpawnFacts } from './compile-spawn.js';
import { executePlan } from './execute-plan.js';
import { downgrade } from './legacy/downgrade.js';
import { learnFrom } from './legacy/missing.js';
import { withNotifySocket } from './notify.js';
import type { SpawnOptions } from './options.js';
import { verifyLabel } from './verify-label.js';

/**
 * Starts a program in new namespaces, in existing ones, or in this process's own, with every attribute that a
 * process has. Resolves once the program has been exec'ed.
 *
 * Node itself never forks and never changes namespaces: a small helper process beside it does, in a few milliseconds,
 * whatever the size of Node's heap. The program dies with this Node process.
 *
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT before anything is touched.
 * @throws StartError CTR_START_FAILED with the stage, the step, the errno and a hint; nothing half-made remains.
 * @throws UnsupportedError CTR_UNSUPPORTED on other systems than Linux.
 * @remarks Linux 5.15 or newer. Without root give `namespaces.user: 'new'` too.
 * @see <https://man7.org/linux/man-pages/man7/namespaces.7.html>
 * @example
 * ```ts
 * const p = await spawn({ args: ['hostname'], env: process.env, hostname: 'box', namespaces: { user: 'new', uts: 'new' } })
 * p.stdout.pipe(process.stdout)
 * console.log(await p.exited) // { exitCode: 0, … }
 * ```
 */
export async function spawn(options: SpawnOptions): Promise<ContainerProcess> {
  checkSpawnOptions(options);
  assertLinux('spawn()');
  const own = NAMESPACE_KINDS.filter((kind) => (options.namespaces?.[kind] ?? 'host') !== 'host');
  const complete = withNotifySocket(options);
  const place = needsPlace(options) ? await placeAround(options.idMaps, options.disableUserNamespaces ?? false) : undefined;
  const joined = openJoined(options.namespaces, place?.around);
  try {
    const facts: SpawnFacts = { joined, around: place && { ...place, fd: place.around.fd } };
    const plan = downgrade(describeSpawn(complete, undefined, facts));
    // Describing and sending are a turn of the event loop each: whoever else waits for it waits half as long.
    await setImmediate();
    const started = await executePlan(plan, own, options);
    return labelOf(options) ? await verifyLabel(started, options) : started;
  } catch (error) {
    if (!learnFrom(error)) throw error;
    return await spawn(options);
  } finally {
    joined?.close();
    place?.release();
  }
}
