// A folder as a root filesystem: a detached copy of the mount it lies on.
import { type Step, slot } from '@ctr/internal/steps';
import { checkBoolean, checkObject, checkPath } from './check-options.js';
import type { DescribedRoot } from './describe-overlay.js';
import { AT_FDCWD, atFlags, MOUNT_ATTR_SIZE, mountAttr, openTreeFlags } from './flags.js';

/** Options of {@link describeBindRoot}. */
export interface BindRootOptions {
  /** The mount, and every mount below it, takes no writes. Default false. */
  readOnly?: boolean | undefined;
  /** What is mounted inside of the folder comes along. Default true; a user namespace cannot clone a tree without its mounts. */
  recursive?: boolean | undefined;
}

const BIND_SLOT = 'bind';

/**
 * Describes an existing folder as the root of a container, as steps for `spawn({ root })`. Writes go to the folder
 * itself. The result is a detached mount in a slot; later mounts of the host do not appear in it.
 *
 * @remarks Linux 5.12 (mount_setattr).
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong.
 * @see https://man7.org/linux/man-pages/man2/open_tree.2.html
 * @example
 * ```ts
 * await spawn({ args: ['/bin/sh'], root: describeBindRoot('/srv/alpine', { readOnly: true }) })
 * ```
 */
export function describeBindRoot(directory: string, options: BindRootOptions = {}): DescribedRoot {
  checkPath(directory, 'directory');
  checkObject(options, 'options', ['readOnly', 'recursive']);
  checkBoolean(options.readOnly, 'readOnly');
  checkBoolean(options.recursive, 'recursive');
  const tree = options.recursive === false ? [] : (['AT_RECURSIVE'] as const);
  const doing = 'take a folder as the root';
  const steps: Step[] = [
    {
      call: 'open_tree',
      args: [AT_FDCWD, directory, openTreeFlags('OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC', ...tree)],
      into: BIND_SLOT,
      doing,
    },
    {
      call: 'mount_setattr',
      args: [
        slot(BIND_SLOT),
        '',
        atFlags('AT_EMPTY_PATH', ...tree),
        mountAttr({ readOnly: options.readOnly ?? false, private: true }),
        MOUNT_ATTR_SIZE,
      ],
      doing,
      path: directory,
    },
  ];
  return { steps, slot: BIND_SLOT };
}
