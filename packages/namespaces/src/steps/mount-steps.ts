// The mount family as steps. New mounts are made detached (fsmount, open_tree) and attached by move_mount.
import { type Bytes, named, type Step, slot } from '@ctr/internal/steps';
import { AT_FDCWD, atFlags, type MountAttr, mountAttr, mountAttrBytes, moveMountFlags, openTreeFlags } from './flags.js';

const FSCONFIG = {
  set: named(1, 'FSCONFIG_SET_STRING'),
  flag: named(0, 'FSCONFIG_SET_FLAG'),
  create: named(6, 'FSCONFIG_CMD_CREATE'),
  reconfigure: named(7, 'FSCONFIG_CMD_RECONFIGURE'),
};
const FSOPEN_CLOEXEC = named(1, 'FSOPEN_CLOEXEC');
const FSMOUNT_CLOEXEC = named(1, 'FSMOUNT_CLOEXEC');

/** A new file system as a detached mount in `into`: fsopen, fsconfig …, fsmount. */
export function newMount(
  type: string,
  into: string,
  o: { options?: Record<string, string | true>; attributes?: readonly string[]; source?: string; doing: string },
): Step[] {
  const fs = slot(`${into}.fs`);
  const { doing } = o;
  return [
    { call: 'fsopen', args: [type, FSOPEN_CLOEXEC], into: fs.slot, doing },
    // What mountinfo shows as the source; 'none' would do, but people look for the type.
    { call: 'fsconfig', args: [fs, FSCONFIG.set, 'source', o.source ?? type, 0], doing },
    ...Object.entries(o.options ?? {}).map(
      ([key, value]): Step => ({
        call: 'fsconfig',
        args: value === true ? [fs, FSCONFIG.flag, key, null, 0] : [fs, FSCONFIG.set, key, value, 0],
        doing,
      }),
    ),
    { call: 'fsconfig', args: [fs, FSCONFIG.create, null, null, 0], doing, path: type },
    { call: 'fsmount', args: [fs, FSMOUNT_CLOEXEC, mountAttr(o.attributes ?? [])], into, doing },
    closeSlot(fs.slot),
  ];
}

/** Other options for a file system that is mounted already: fspick, fsconfig …, FSCONFIG_CMD_RECONFIGURE. */
export function reconfigure(target: string, into: string, options: Record<string, string | true>, doing: string): Step[] {
  const fs = slot(into);
  return [
    { call: 'fspick', args: [AT_FDCWD, target, named(5, 'FSPICK_CLOEXEC|FSPICK_NO_AUTOMOUNT')], into, doing },
    ...Object.entries(options).map(
      ([key, value]): Step => ({
        call: 'fsconfig',
        args: value === true ? [fs, FSCONFIG.flag, key, null, 0] : [fs, FSCONFIG.set, key, value, 0],
        doing,
        path: target,
      }),
    ),
    { call: 'fsconfig', args: [fs, FSCONFIG.reconfigure, null, null, 0], doing, path: target },
    closeSlot(into),
  ];
}

/** 'nosuid' -> 'MOUNT_ATTR_NOSUID'; 'ro' -> 'MOUNT_ATTR_RDONLY' */
export const attributeName = (option: string): string => (option === 'ro' ? 'MOUNT_ATTR_RDONLY' : `MOUNT_ATTR_${option.toUpperCase()}`);

/** A detached copy of an existing mount or folder. */
export const cloneTree = (
  path: string,
  into: string,
  o: { recursive: boolean; doing: string; allow?: string[]; skipOnAllowed?: number },
): Step => ({
  call: 'open_tree',
  args: [AT_FDCWD, path, openTreeFlags('OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC', ...(o.recursive ? ['AT_RECURSIVE'] : []))],
  into,
  doing: o.doing,
  ...(o.allow ? { allow: o.allow } : {}),
  ...(o.skipOnAllowed ? { skipOnAllowed: o.skipOnAllowed } : {}),
});

/** Another detached copy of a mount that is held in a slot. */
export const cloneSlot = (from: string, into: string, doing: string, recursive = false): Step => ({
  call: 'open_tree',
  args: [slot(from), '', openTreeFlags('OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC', 'AT_EMPTY_PATH', ...(recursive ? ['AT_RECURSIVE'] : []))],
  into,
  doing,
});

/** mount_setattr(2) on the mount in a slot. */
export const setAttributes = (mount: string, attr: MountAttr, o: { recursive?: boolean; doing: string }): Step => ({
  call: 'mount_setattr',
  args: [slot(mount), '', atFlags('AT_EMPTY_PATH', ...(o.recursive ? ['AT_RECURSIVE'] : [])), mountAttrBytes(attr) as Bytes, 32],
  doing: o.doing,
});

/** Attaches a detached mount to a path of the current root. The last part of the path is not followed when it is a link. */
export const attach = (
  mount: string,
  target: string,
  o: { doing: string; allow?: readonly string[]; skipOnSuccess?: number; skipOnAllowed?: number },
): Step => ({
  call: 'move_mount',
  args: [slot(mount), '', AT_FDCWD, target, moveMountFlags('MOVE_MOUNT_F_EMPTY_PATH')],
  doing: o.doing,
  path: target,
  ...(o.allow ? { allow: o.allow } : {}),
  ...(o.skipOnSuccess ? { skipOnSuccess: o.skipOnSuccess } : {}),
  ...(o.skipOnAllowed ? { skipOnAllowed: o.skipOnAllowed } : {}),
});

export const closeSlot = (name: string): Step => ({ call: 'close', args: [slot(name)] });
