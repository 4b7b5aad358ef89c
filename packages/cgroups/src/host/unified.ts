// Finds the place on cgroup2 below which a parent with controllers can be made, by reading only.
import { access, constants } from 'node:fs/promises';
import path from 'node:path';
import { codeOf, tryRead, words } from '../kernfs.js';

export interface UnifiedPlace {
  /** Our own cgroup. */
  readonly directory: string;
  /** Below which parents are made: our own cgroup, or the nearest one above it that can give controllers to its children. */
  readonly parentDirectory: string;
  /** The controllers that can be given to children there. */
  readonly controllers: readonly string[];
  /** The controllers that our own cgroup has: those that it could give once it holds no process. */
  readonly available: readonly string[];
  readonly writable: boolean;
  /** Why it is not writable, or why controllers are missing. */
  readonly reason?: string;
}

/** Null when this user may write it, else why not. */
export async function whyNotWritable(file: string): Promise<string | null> {
  try {
    await access(file, constants.W_OK);
    return null;
  } catch (error) {
    const code = codeOf(error);
    return `${file} ${code === 'EROFS' ? 'is mounted read-only' : 'is not writable by this user'} (${code})`;
  }
}

interface Candidate {
  readonly directory: string;
  readonly controllers: readonly string[];
  /** Children of it could hold threads of this subtree only, and no process of their own. */
  readonly threaded: boolean;
}

/**
 * What children of `directory` can have. A cgroup that holds processes cannot enable controllers for its children ("no
 * internal process constraint"), but for the root, which alone has no cgroup.type file. See cgroup-v2.rst, Constraints.
 */
async function candidate(directory: string): Promise<Candidate> {
  const file = (name: string): string => path.join(directory, name);
  const active = words(tryRead(file('cgroup.subtree_control')) ?? '');
  const type = tryRead(file('cgroup.type'));
  // 'threaded', 'domain threaded' or 'domain invalid': what is made below is born invalid. See cgroup-v2.rst, Threads.
  if (type !== null && type.trim() !== 'domain') return { directory, controllers: [], threaded: true };
  const free = type === null || (tryRead(file('cgroup.procs')) ?? '') === '';
  if (!free || (await whyNotWritable(file('cgroup.subtree_control'))) !== null) return { directory, controllers: active, threaded: false };
  return { directory, threaded: false, controllers: [...new Set([...active, ...words(tryRead(file('cgroup.controllers')) ?? '')])] };
}

/** To move a process from our cgroup to one below `directory`, cgroup.procs of `directory` must be writable. */
const obstacle = async (directory: string): Promise<string | null> =>
  (await whyNotWritable(directory)) ?? (await whyNotWritable(path.join(directory, 'cgroup.procs')));

/**
 * Looks at our own cgroup, then upwards as far as it may write, and takes what offers most of `wanted`; the nearest of equals.
 *
 * @param own directory of our own cgroup
 * @param mountPoint where the search ends
 */
export async function placeUnified(own: string, mountPoint: string, wanted: readonly string[]): Promise<UnifiedPlace> {
  const available = words(tryRead(path.join(own, 'cgroup.controllers')) ?? '');
  const blocked = await obstacle(own);
  if (blocked !== null) return { directory: own, parentDirectory: own, controllers: [], available, writable: false, reason: blocked };
  const useful = (c: Candidate): number => c.controllers.filter((x) => wanted.includes(x)).length;
  let best = await candidate(own);
  for (let dir = own; dir !== mountPoint && dir !== '/'; ) {
    dir = path.dirname(dir);
    if ((await obstacle(dir)) !== null) break;
    const next = await candidate(dir);
    if (!next.threaded && (best.threaded || useful(next) > useful(best))) best = next;
  }
  if (best.threaded)
    return {
      directory: own,
      parentDirectory: own,
      controllers: [],
      available,
      writable: false,
      reason: `${own} is part of a threaded subtree, whose cgroups take its own threads only`,
    };
  const lacks = wanted.some((c) => !best.controllers.includes(c));
  const reason = `${best.directory} gives its children ${best.controllers.join(' ') || 'no controllers'}`;
  return {
    directory: own,
    parentDirectory: best.directory,
    controllers: best.controllers,
    available,
    writable: true,
    ...(lacks ? { reason } : {}),
  };
}
