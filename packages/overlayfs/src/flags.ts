// Numbers of the mount calls and their names, for calls and for messages: <linux/mount.h>, mount(2), openat(2).
import { type Bytes, flags, type Named, named, slot } from '@ctr/internal/steps';

export const AT_FDCWD = named(-100, 'AT_FDCWD');
export const AT_EMPTY_PATH = named(0x1000, 'AT_EMPTY_PATH');
export const FSOPEN_CLOEXEC = named(1, 'FSOPEN_CLOEXEC');
export const FSMOUNT_CLOEXEC = named(1, 'FSMOUNT_CLOEXEC');
export const MOVE_MOUNT_F_EMPTY_PATH = named(4, 'MOVE_MOUNT_F_EMPTY_PATH');
export const MNT_DETACH = named(2, 'MNT_DETACH');
/** sizeof(struct mount_attr), its first version (Linux 5.12). */
export const MOUNT_ATTR_SIZE = 32;

export const FSCONFIG = {
  flag: named(0, 'FSCONFIG_SET_FLAG'),
  string: named(1, 'FSCONFIG_SET_STRING'),
  fd: named(5, 'FSCONFIG_SET_FD'),
  create: named(6, 'FSCONFIG_CMD_CREATE'),
};

/** O_DIRECTORY and O_NOFOLLOW differ between x86-64 and arm64. */
const ARM = process.arch === 'arm64';
const O = { O_PATH: 0x200000, O_DIRECTORY: ARM ? 0x4000 : 0x10000, O_NOFOLLOW: ARM ? 0x8000 : 0x20000, O_CLOEXEC: 0x80000 };
const OPEN_TREE = { OPEN_TREE_CLONE: 1, OPEN_TREE_CLOEXEC: O.O_CLOEXEC, AT_RECURSIVE: 0x8000 };
const MS = { MS_NOSUID: 2, MS_NODEV: 4, MS_REC: 0x4000, MS_PRIVATE: 1 << 18 };
const AT = { AT_EMPTY_PATH: 0x1000, AT_RECURSIVE: 0x8000 };

export const openFlags = (...names: (keyof typeof O)[]): Named => flags(O, names);
export const openTreeFlags = (...names: (keyof typeof OPEN_TREE)[]): Named => flags(OPEN_TREE, names);
export const mountFlags = (...names: (keyof typeof MS)[]): Named => flags(MS, names);
export const atFlags = (...names: (keyof typeof AT)[]): Named => flags(AT, names);
export const mountAttribute = (readOnly: boolean): Named => (readOnly ? named(1, 'MOUNT_ATTR_RDONLY') : named(0, '0'));

/** struct mount_attr: read-only when asked, and private, so that later mounts of the host do not appear in the copy. */
export function mountAttr(o: { readOnly: boolean; private: boolean }): { bytes: Uint8Array; text: string } {
  const bytes = Buffer.alloc(MOUNT_ATTR_SIZE);
  if (o.readOnly) bytes.writeBigUInt64LE(1n, 0);
  if (o.private) bytes.writeBigUInt64LE(BigInt(MS.MS_PRIVATE), 16);
  const parts = [...(o.readOnly ? ['set=MOUNT_ATTR_RDONLY'] : []), ...(o.private ? ['propagation=MS_PRIVATE'] : [])];
  return { bytes, text: `{${parts.join(', ')}}` };
}

/** struct mount_attr: owners by the maps of the user namespace that the slot holds. */
export function idmapAttr(userns: string): Bytes {
  const bytes = Buffer.alloc(MOUNT_ATTR_SIZE);
  bytes.writeBigUInt64LE(0x100000n, 0);
  return { bytes, text: '{set=MOUNT_ATTR_IDMAP}', patches: [{ at: 24, value: slot(userns) }] };
}
