// Removing cgroups: innermost first, and once more when the kernel is still letting go of the last process.
import { setTimeout as sleep } from 'node:timers/promises';
import { CleanupError, syscallErrorFrom } from '@ctr/internal/errors';
import { parseFlat } from './controllers/controller.js';
import { childrenOf, codeOf, removeDirectory, tryRead } from './kernfs.js';
import { watchUntil } from './wait.js';

/** A cgroup whose last process is dying answers EBUSY for a moment: at most this long. */
const PATIENCE_MS = 5_000;

interface RemoveOptions {
  /** Also remove cgroups that were made below. */
  nested: boolean;
}

const hasProcesses = (directory: string): boolean => (tryRead(`${directory}/cgroup.procs`) ?? '') !== '';

/** v2 says when the last process is gone; where it does not (v1), or said so already, a moment passes. */
async function untilFree(directory: string, ms: number): Promise<void> {
  const file = `${directory}/cgroup.events`;
  const free = (): boolean => (parseFlat(tryRead(file))['populated'] ?? 0) === 0;
  if (free()) await sleep(ms);
  else await watchUntil(file, free, { directory, doing: 'remove', hint: '', patienceMs: PATIENCE_MS }).catch(() => undefined);
}

async function removeTree(directory: string, o: RemoveOptions): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    // Looked for again each time: what dies may have made one more.
    if (o.nested) for (const child of childrenOf(directory)) await removeTree(child, o);
    try {
      return await removeDirectory(directory);
    } catch (error) {
      const children = o.nested ? [] : childrenOf(directory);
      const inUse = hasProcesses(directory) || children.length > 0;
      const again = codeOf(error) === 'EBUSY' || codeOf(error) === 'ENOTEMPTY';
      if (!again || inUse || performance.now() > end)
        throw syscallErrorFrom(error, `remove the cgroup ${directory}`, inUse ? { hint: hintFor(children) } : {});
    }
    await untilFree(directory, wait);
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
