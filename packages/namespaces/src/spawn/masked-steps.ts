// Masked and read-only paths: small mounts over what the kernel shows too much of.
// <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#masked-paths>
import type { Step } from '@ctr/internal/steps';
import { AT_FDCWD, openFlags } from '../steps/flags.js';
import { keep } from '../steps/keep.js';
import { attach, attributeName, cloneSlot, cloneTree, closeSlot, newMount, setAttributes } from '../steps/mount-steps.js';
import { isKernelPath, kernelPathKind } from './host-facts.js';

const NULL = 'mask.null';
const EMPTY = 'mask.empty';

/** Whether the mount in this slot is one of which copies are made. */
export const isMask = (name: string): boolean => name === NULL || name === EMPTY;

/** Before the pivot: the host's own null device by name of the host, never the container's (CVE-2025-31133), and one empty read-only folder for all. */
export function prepareMasks(paths: readonly string[]): readonly Step[] {
  if (paths.length === 0) return [];
  const doing = 'make the masks';
  return keep('masks', () => [
    cloneTree('/dev/null', NULL, { recursive: false, doing }),
    ...newMount('tmpfs', EMPTY, {
      options: { mode: '755', nr_inodes: '1' },
      attributes: ['ro', 'nosuid', 'nodev', 'noexec'].map(attributeName),
      doing,
    }),
  ]);
}

/**
 * A copy of a mask into the slot `mask`. Before Linux 6.15 a mount can be copied only while it is attached in our own mount namespace
 * (check_mnt in fs/namespace.c, EINVAL): then the step after this one attaches the mask itself, of which copies can be made from there on.
 */
const copyMask = (from: string, doing: string, skipOnSuccess: number): Step => ({
  ...cloneSlot(from, 'mask', doing),
  allow: ['EINVAL'],
  skipOnSuccess,
});

/** `first`: of those that take this mask. It takes the mask itself, so that no detached mount is left to be closed, which is slow. */
function maskKnown(path: string, from: string, first: boolean): Step[] {
  const doing = `mask ${path}`;
  // ENOENT: the host has it, this container's does not.
  const absent = { doing, allow: ['ENOENT'] };
  if (first) return [attach(from, path, absent)];
  return [copyMask(from, doing, 1), attach(from, path, { ...absent, skipOnSuccess: 1, skipOnAllowed: 1 }), attach('mask', path, absent)];
}

/** A path of the image: its kind is found out inside. */
function maskUnknown(path: string): Step[] {
  const doing = `mask ${path}`;
  const open = (...f: string[]) => [AT_FDCWD, path, openFlags('O_PATH', 'O_CLOEXEC', 'O_NOFOLLOW', ...f)];
  return [
    { call: 'openat', args: open(), into: 'mask.at', allow: ['ENOENT'], skipOnAllowed: 6, doing },
    { call: 'openat', args: open('O_DIRECTORY'), into: 'mask.at', allow: ['ENOTDIR'], skipOnAllowed: 2, doing },
    copyMask(EMPTY, doing, 3),
    attach(EMPTY, path, { doing, skipOnSuccess: 3 }),
    copyMask(NULL, doing, 1),
    attach(NULL, path, { doing, skipOnSuccess: 1 }),
    attach('mask', path, { doing }),
  ];
}

/** After the mounts. */
export function maskPaths(paths: readonly string[]): readonly Step[] {
  if (paths.length === 0) return [];
  return keep(`mask ${paths.join('\0')}`, () => {
    const used = new Set<string>();
    return [...paths.flatMap((path) => maskPath(path, used)), closeSlot(NULL), closeSlot(EMPTY)];
  });
}

function maskPath(path: string, used: Set<string>): Step[] {
  if (!isKernelPath(path)) return maskUnknown(path);
  const kind = kernelPathKind(path);
  if (kind === undefined) return [];
  const mask = kind === 'directory' ? EMPTY : NULL;
  const first = !used.has(mask);
  used.add(mask);
  return maskKnown(path, mask, first);
}

/** A path becomes a read-only mount of itself, with all below it. */
export const makeReadonly = (paths: readonly string[]): readonly Step[] =>
  keep(`readonly ${paths.join('\0')}`, () => paths.flatMap(readonlyPath));

function readonlyPath(path: string): Step[] {
  if (isKernelPath(path) && kernelPathKind(path) === undefined) return [];
  const doing = `make ${path} read-only`;
  return [
    cloneTree(path, 'readonly', { recursive: true, doing, allow: ['ENOENT'], skipOnAllowed: 2 }),
    setAttributes('readonly', { set: ['MOUNT_ATTR_RDONLY'] }, { recursive: true, doing }),
    attach('readonly', path, { doing }),
  ];
}
