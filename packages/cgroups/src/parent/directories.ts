// Where a parent will lie, known before it is made: for a record of what is to be removed after a crash.
import type { CgroupHost } from '../host/detect.js';
import { checkName, DEFAULT_DEVICES, V1_CONTROLLERS } from '../names.js';

/**
 * The directories that {@link openParent} will make for `name` on this host with default options, those inside others
 * first: the order in which they can be removed. Pure; write it down before the parent is made, and whatever
 * interrupts the making, somebody knows what to remove (ENOENT is to be expected then).
 *
 * @param host of {@link detectCgroups}, read while this process is in the same cgroup as when the parent is opened
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad name
 */
export function parentDirectories(host: CgroupHost, name: string): readonly string[] {
  checkName(name, 'name');
  const v1 = V1_CONTROLLERS.flatMap((controller) => {
    const place = host.controllers[controller];
    if (place?.version !== 1 || !place.writable) return [];
    const directory = `${place.parentDirectory}/${name}`;
    return controller === 'devices' ? [`${directory}/${DEFAULT_DEVICES}`, directory] : [directory];
  });
  if (!host.unified?.writable) return [...new Set(v1)];
  const unified = `${host.unified.parentDirectory}/${name}`;
  // Device rules are v2's where v1 has no controller for them; not made where no program may be loaded.
  const inner = Object.hasOwn(host.controllers, 'devices') ? [] : [`${unified}/${DEFAULT_DEVICES}`];
  return [...new Set([...v1, ...inner, unified])];
}
