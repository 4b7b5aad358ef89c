// Handing a cgroup over: whoever owns its directory and the files that make and fill cgroups below rules there.
import { existsSync } from 'node:fs';
import { chown } from 'node:fs/promises';
import { InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { tryRead, words } from './kernfs.js';
import type { CgroupDirectories } from './names.js';

/** Whom to {@link Cgroup.delegate}. */
export interface DelegateOptions {
  readonly uid: number;
  /** Default: the group stays. */
  readonly gid?: number | undefined;
}

/** Where the kernel has no /sys/kernel/cgroup/delegate (before 4.15). */
const USUAL = ['cgroup.procs', 'cgroup.threads', 'cgroup.subtree_control'];

const V1_FILES = ['cgroup.procs', 'tasks'];

const MOST = 4_294_967_294;

export function checkDelegate(o: unknown): asserts o is DelegateOptions {
  if (typeof o !== 'object' || o === null) throw new InvalidArgumentError('options', 'an object such as { uid: 1000 }', o);
  const { uid, gid } = o as DelegateOptions;
  for (const [name, id] of Object.entries({ uid, gid })) {
    if (name === 'gid' && id === undefined) continue;
    if (typeof id !== 'number' || !Number.isSafeInteger(id) || id < 0 || id > MOST)
      throw new InvalidArgumentError(`options.${name}`, `a whole number from 0 to ${MOST}`, id);
  }
}

/**
 * SECURITY: only what the kernel names. The limits of the cgroup itself stay with us; what is made below is bound by them.
 * On v1 a limit of a parent holds for its children too, in most controllers; there no limit files are handed over either.
 */
export async function delegateTo(directories: CgroupDirectories, { uid, gid = -1 }: DelegateOptions): Promise<void> {
  const named = words(tryRead('/sys/kernel/cgroup/delegate') ?? '');
  const v2 = named.length > 0 ? named : USUAL;
  for (const directory of new Set(Object.values(directories))) {
    const files = directory === directories['unified'] ? v2 : V1_FILES;
    const all = files.map((f) => `${directory}/${f}`).filter((f) => existsSync(f));
    for (const file of [directory, ...all])
      await chown(file, uid, gid).catch((error: unknown) => {
        throw syscallErrorFrom(error, `hand the cgroup ${directory} to user ${uid}`);
      });
  }
}
