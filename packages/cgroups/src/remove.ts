// Removing cgroups: innermost first, and once more when the kernel is still letting go of the last process.
import { setTimeout as sleep } from 'node:timers/promises';
import { CleanupError, syscallErrorFrom } from '@ctr/internal/errors';
import { childrenOf, codeOf, removeDirectory, tryRead } from './kernfs.js';

/** A cgroup whose last process is dying answers EBUSY for a moment: at most this long. */
const PATIENCE_MS = 5_000;

interface RemoveOptions {
  /** Also remove cgroups that were made below. */
  nested: boolean;
}

const hasProcesses = (directory: string): boolean => (tryRead(`${directory}/cgroup.procs`) ?? '') !== '';

async function removeTree(directory: string, o: RemoveOptions): Promise<void> {
  if (o.nested) for (const child of childrenOf(directory)) await removeTree(child, o);
  const end = performance.now() + PATIENCE_MS;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    try {
      return await removeDirectory(directory);
    } catch (error) {
      const children = o.nested ? [] : childrenOf(directory);
      const inUse = hasProcesses(directory) || children.length > 0;
      if (codeOf(error) !== 'EBUSY' || inUse || performance.now() > end)
        throw syscallErrorFrom(error, `remove the cgroup ${directory}`, inUse ? { hint: hintFor(children) } : {});
    }
    await sleep(wait);
  }
}

const hintFor = (children: readonly string[]): string =>
  children.length > 0 ? `remove the cgroups in it first: ${children.slice(0, 3).join(', ')}` : 'processes are in it: kill() ends them';

/** Removes every directory, also after a failure of one; then says what failed. */
export async function removeTrees(directories: readonly string[], what: string, o: RemoveOptions): Promise<void> {
  const errors: Error[] = [];
  for (const directory of directories) await removeTree(directory, o).catch((error: Error) => errors.push(error));
  if (errors.length > 0) throw new CleanupError(what, errors);
}
