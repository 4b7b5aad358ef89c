// Takes away the directory of a writable layer into which nothing was written: a handful of rmdir calls.
import { type Arg, named, type Step } from '@ctr/internal/steps';
import { AT_FDCWD } from './flags.js';

/** With `volatile` overlayfs notes in the work directory that it is not synced (fs/overlayfs/super.c, ovl_create_volatile_dirty). */
const DIRTY = 'work/work/incompat/volatile/dirty';
const DIRECTORIES = ['upper', 'work/work/incompat/volatile', 'work/work/incompat', 'work/work', 'work', ''];
const AT_REMOVEDIR = named(0x200, 'AT_REMOVEDIR');
/** It was written to, or is not ours to pass: the steps that follow are for that. */
const NOT_EMPTY: readonly string[] = ['ENOENT', 'ENOTEMPTY', 'EACCES', 'ENOTDIR'];

/**
 * Describes the removal of a disk upper that stayed empty. When it did not, nothing of what was written goes, and `otherwise`
 * runs, which removes everything; alone, a `remove_tree` of the directory does the last rmdir too.
 *
 * @param directory as in `describeOverlay({ upper: { directory } })`
 * @param otherwise steps that are left out when all is gone.
 * @example
 * ```ts
 * const cleanup = describeRemoveUpper('/var/lib/app/layer', [{ call: 'remove_tree', args: ['/var/lib/app/layer'] }])
 * ```
 */
export function describeRemoveUpper(directory: string, otherwise: readonly Step[]): Step[] {
  const doing = 'remove the empty writable layer';
  const remove = (name: string, flags: Arg): Step => {
    const path = name === '' ? directory : `${directory}/${name}`;
    return { call: 'unlinkat', args: [AT_FDCWD, path, flags], allow: NOT_EMPTY, doing };
  };
  const removals = [remove(DIRTY, 0), ...DIRECTORIES.map((name) => remove(name, AT_REMOVEDIR))];
  const last = removals.length - 1;
  // That step begins with the same rmdir.
  const [first, ...more] = otherwise;
  if (first?.call === 'remove_tree' && first.args[0] === directory && more.length === 0) return [...removals.slice(0, last), first];
  removals[last] = { ...(removals[last] as Step), skipOnSuccess: otherwise.length };
  return [...removals, ...otherwise];
}
