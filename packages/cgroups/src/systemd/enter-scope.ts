// The systemd driver for a parent: this process moves into a scope of its own, which systemd leaves to it.
import { detectWith } from '../host/detect.js';
import { writeControl } from '../kernfs.js';
import { isSystemdBooted, type SystemdBus, usualBus } from './bus.js';
import { noSystemd, startScope, withManager } from './scope.js';

/** Back to where it was, as far as this user may; what is left ends with this process. */
async function moveBack(directories: readonly string[]): Promise<void> {
  for (const d of directories) await writeControl(`${d}/cgroup.procs`, `${process.pid}`).catch(() => undefined);
}

/**
 * As `systemd-run --scope -p Delegate=yes` would have done before the start. Nothing when it is there already. The scope
 * ends by itself when its last process does.
 *
 * @returns what takes this process back
 */
export async function enterScope(name: string, slice: string | undefined): Promise<() => Promise<void>> {
  if (!isSystemdBooted()) throw noSystemd();
  const unit = `${name}-${process.pid}.scope`;
  const before = await detectWith([]);
  const own = [before.unified?.directory, ...Object.values(before.controllers).map((c) => c.directory)].filter((d) => d !== undefined);
  if (own.some((d) => d.split('/').includes(unit))) return async () => undefined;
  const bus: SystemdBus = usualBus();
  const description = `Control groups of ${process.title} (${process.pid})`;
  await withManager(bus, (manager) =>
    startScope(manager, unit, { pids: [process.pid], slice, description: description.replaceAll('\n', ' ') }),
  );
  return () => moveBack([...new Set(own)]);
}
