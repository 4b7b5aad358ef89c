// Flag words of the mount family and their names, for calls and for messages
// <https://man7.org/linux/man-pages/man2/mount.2.html>, <linux/mount.h>.
import { type Bytes, flags, type Named, type Slot } from '@ctr/internal/steps';

export const AT_FDCWD = -100;

export const MS: Readonly<Record<string, number>> = {
  MS_REC: 0x4000,
  MS_PRIVATE: 1 << 18,
  MS_SLAVE: 1 << 19,
  MS_SHARED: 1 << 20,
  MS_UNBINDABLE: 1 << 17,
};

export const AT: Readonly<Record<string, number>> = {
  AT_SYMLINK_NOFOLLOW: 0x100,
  AT_REMOVEDIR: 0x200,
  AT_NO_AUTOMOUNT: 0x800,
  AT_EMPTY_PATH: 0x1000,
  AT_RECURSIVE: 0x8000,
};

/** Of openat(2) on x86-64 and arm64; O_DIRECTORY and O_NOFOLLOW differ between them. */
const ARM = process.arch === 'arm64';
export const O: Readonly<Record<string, number>> = {
  O_RDONLY: 0,
  O_WRONLY: 1,
  O_RDWR: 2,
  O_CREAT: 0x40,
  O_EXCL: 0x80,
  O_TRUNC: 0x200,
  O_NOCTTY: 0x100,
  O_NONBLOCK: 0x800,
  O_DIRECTORY: ARM ? 0x4000 : 0x10000,
  O_NOFOLLOW: ARM ? 0x8000 : 0x20000,
  O_CLOEXEC: 0x80000,
  O_PATH: 0x200000,
};

const OPEN_TREE: Readonly<Record<string, number>> = {
  OPEN_TREE_CLONE: 1,
  OPEN_TREE_CLOEXEC: 0x80000,
  AT_EMPTY_PATH: 0x1000,
  AT_RECURSIVE: 0x8000,
  AT_SYMLINK_NOFOLLOW: 0x100,
};

const MOVE_MOUNT: Readonly<Record<string, number>> = { MOVE_MOUNT_F_EMPTY_PATH: 4, MOVE_MOUNT_T_EMPTY_PATH: 0x40 };

export const MOUNT_ATTR: Readonly<Record<string, number>> = {
  MOUNT_ATTR_RDONLY: 1,
  MOUNT_ATTR_NOSUID: 2,
  MOUNT_ATTR_NODEV: 4,
  MOUNT_ATTR_NOEXEC: 8,
  MOUNT_ATTR_NOATIME: 0x10,
  MOUNT_ATTR_STRICTATIME: 0x20,
  /** The whole field of access times: to be cleared when one is set (mount_setattr(2)). */
  MOUNT_ATTR__ATIME: 0x70,
  MOUNT_ATTR_NODIRATIME: 0x80,
  MOUNT_ATTR_NOSYMFOLLOW: 0x200000,
};

const RESOLVE: Readonly<Record<string, number>> = {
  RESOLVE_NO_XDEV: 1,
  RESOLVE_NO_MAGICLINKS: 2,
  RESOLVE_NO_SYMLINKS: 4,
  RESOLVE_BENEATH: 8,
  RESOLVE_IN_ROOT: 16,
};

export const atFlags = (...names: string[]): Named => flags(AT, names);
export const openFlags = (...names: string[]): Named => flags(O, names);
export const openTreeFlags = (...names: string[]): Named => flags(OPEN_TREE, names);
export const MOVE_TO_SLOT = flags(MOVE_MOUNT, ['MOVE_MOUNT_F_EMPTY_PATH', 'MOVE_MOUNT_T_EMPTY_PATH']);
export const moveMountFlags = (...names: string[]): Named => flags(MOVE_MOUNT, names);
export const mountAttr = (names: readonly string[]): Named => flags(MOUNT_ATTR, names);

/** struct open_how of openat2(2). */
export function openHow(open: readonly string[], resolve: readonly string[], mode = 0): Bytes {
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(BigInt(flags(O, open).value), 0);
  bytes.writeBigUInt64LE(BigInt(mode), 8);
  bytes.writeBigUInt64LE(BigInt(flags(RESOLVE, resolve).value), 16);
  return { bytes, text: `{flags=${open.join('|')}, resolve=${resolve.join('|')}}` };
}

export interface MountAttr {
  set?: readonly string[];
  clear?: readonly string[];
  propagation?: 'MS_PRIVATE' | 'MS_SLAVE' | 'MS_SHARED' | 'MS_UNBINDABLE';
  /** For MOUNT_ATTR_IDMAP: the user namespace whose maps are applied. */
  userns?: Slot;
}

/** struct mount_attr of mount_setattr(2). */
export function mountAttrBytes(a: MountAttr): Bytes {
  const bytes = Buffer.alloc(32);
  let set = BigInt(flags(MOUNT_ATTR, a.set ?? []).value);
  if (a.userns) set |= 0x100000n;
  bytes.writeBigUInt64LE(set, 0);
  bytes.writeBigUInt64LE(BigInt(flags(MOUNT_ATTR, a.clear ?? []).value), 8);
  bytes.writeBigUInt64LE(BigInt(a.propagation ? (MS[a.propagation] as number) : 0), 16);
  const parts = [
    ...(a.set?.length ? [`set=${a.set.join('|')}`] : []),
    ...(a.clear?.length ? [`clr=${a.clear.join('|')}`] : []),
    ...(a.propagation ? [`propagation=${a.propagation}`] : []),
    ...(a.userns ? [`idmap=${a.userns.slot}`] : []),
  ];
  return { bytes, text: `{${parts.join(', ')}}`, ...(a.userns ? { patches: [{ at: 24, value: a.userns }] } : {}) };
}
