// v2: empties our own cgroup into a child of it, so that it may give controllers to its children, and back.
import path from 'node:path';
import { syscallErrorFrom, UnsupportedError } from '@ctr/internal/errors';
import { childrenOf, codeOf, makeDirectory, readControl, removeDirectory, tryRead, words, writeControl } from '../kernfs.js';

const ROUNDS = 100;

/** Moves until none is left: what forks meanwhile puts its child beside itself. */
async function moveAll(from: string, to: string): Promise<void> {
  const procs = path.join(to, 'cgroup.procs');
  for (let i = 0; i < ROUNDS; i += 1) {
    const pids = (tryRead(path.join(from, 'cgroup.procs')) ?? '').split('\n').filter((p) => p !== '');
    if (pids.length === 0) return;
    for (const pid of pids) {
      await writeControl(procs, pid).catch((error: unknown) => {
        if (codeOf(error) !== 'ESRCH') throw error;
      });
    }
  }
  throw new UnsupportedError('emptying our own cgroup', 'processes that stop forking', `new ones in ${from} after ${ROUNDS} rounds`);
}

/**
 * Puts every process of `own` into `leaf`, a child of it. When one cannot be moved, those that were are moved back.
 */
export async function emptyIntoLeaf(own: string, leaf: string): Promise<void> {
  await makeDirectory(leaf);
  try {
    await moveAll(own, leaf);
  } catch (error) {
    await moveAll(leaf, own).catch(() => undefined);
    await removeDirectory(leaf).catch(() => undefined);
    throw syscallErrorFrom(error, 'move the processes of our own cgroup into a child of it', {
      hint: 'moveSelf needs a cgroup that was delegated to this user with all its processes',
    });
  }
}

/** The reverse, unless others have made cgroups beside the leaf: those need the controllers, which a cgroup with processes cannot give. */
export async function restoreFromLeaf(own: string, leaf: string): Promise<void> {
  if (childrenOf(own).some((c) => c !== leaf)) return;
  try {
    const control = path.join(own, 'cgroup.subtree_control');
    for (const c of words(readControl(control))) await writeControl(control, `-${c}`);
    await moveAll(leaf, own);
    await removeDirectory(leaf);
  } catch (error) {
    throw syscallErrorFrom(error, `move our processes back into ${own}`);
  }
}
