// The machine's own tree as a root, also where "/" cannot be a layer: in a user namespace the mounts below "/" are locked
// to it, and overlayfs may not show what they cover. Each directory of "/" then gets an overlay of its own:
//
//   tmpfs ── usr ─ overlay(/usr)   etc ─ overlay(/etc)   bin -> usr/bin   proc, sys, dev, mount points: empty
//               └─ mounts below it: a read-only copy with these instead
import { lstatSync, readdirSync, readlinkSync } from 'node:fs';
import { assertLinux, syscallErrorFrom } from '@ctr/internal/errors';
import { named, type Step, slot } from '@ctr/internal/steps';
import { checkBoolean, checkCount, checkObject } from './check-options.js';
import type { DescribedRoot } from './describe-overlay.js';
import {
  AT_FDCWD,
  atFlags,
  FSCONFIG,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  MOUNT_ATTR_SIZE,
  MOVE_MOUNT_F_EMPTY_PATH,
  mountAttr,
  mountAttribute,
  openFlags,
  openTreeFlags,
} from './flags.js';
import { memorySteps, overlaySettings } from './overlay-parts.js';

/** Options of {@link describeHostRoot}. */
export interface HostRootOptions {
  /** Bytes that all writes together may take in memory; `undefined`: half of the machine's memory. */
  size?: number | undefined;
  /** As in {@link OverlayOptions}: set it inside a user namespace. Default false. */
  userxattr?: boolean | undefined;
}

const ROOT = 'host';
const UPPERS = 'host.uppers';
const PARENT = 'host.parent';
const UPPER = 'host.upper';
const WORK = 'host.work';
const LOWER = 'host.lower';
const FS = 'host.fs';
const MOUNT = 'host.mount';
/** Made by whoever starts the container, never the host's. */
const OWN: ReadonlySet<string> = new Set(['proc', 'sys', 'dev']);
const DIRECTORY = openFlags('O_PATH', 'O_DIRECTORY', 'O_NOFOLLOW', 'O_CLOEXEC');
const octal = (mode: number) => named(mode, mode.toString(8).padStart(4, '0'));

/**
 * Describes the machine's own tree as a writable root, as steps for `spawn({ root })`: what is written goes to memory and
 * never to the host. For a user namespace, where `describeOverlay({ lower: ['/'] })` is refused by the kernel (EINVAL). Reads
 * the names in "/" now.
 *
 * @remarks Linux 6.15. Shown are the directories and links of "/", not plain files beside them. What is mounted on a
 * directory of "/" is not shown; one with mounts further below is read-only as a whole.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @see https://docs.kernel.org/filesystems/overlayfs.html
 * @example
 * ```ts
 * await spawn({ args: ['sh'], root: describeHostRoot({ userxattr: true }), namespaces: { user: 'new', mount: 'new' } })
 * ```
 */
export function describeHostRoot(options: HostRootOptions = {}): DescribedRoot {
  checkObject(options, 'options', ['size', 'userxattr']);
  if (options.size !== undefined) checkCount(options.size, 'size', 'bytes');
  checkBoolean(options.userxattr, 'userxattr');
  assertLinux("the host's tree as a root");
  const steps: Step[] = [
    ...memorySteps(65_536, ROOT),
    ...memorySteps(options.size, UPPERS),
    ...entries().flatMap((entry) => entrySteps(entry, options.userxattr === true)),
  ];
  return { steps: steps.map((s) => ({ doing: "make a root of the host's tree", ...s })), slot: ROOT };
}

interface Entry {
  name: string;
  /** A link's target. */
  link: string | undefined;
  mode: number;
  /** Empty in the root: another mount's, or made anew for each container. */
  empty: boolean;
}

function entries(): Entry[] {
  try {
    const { dev } = lstatSync('/');
    return readdirSync('/', { withFileTypes: true }).flatMap((d): Entry[] => {
      if (d.isSymbolicLink()) return [{ name: d.name, link: readlinkSync(`/${d.name}`), mode: 0, empty: false }];
      if (!d.isDirectory()) return [];
      const s = lstatSync(`/${d.name}`);
      return [{ name: d.name, link: undefined, mode: s.mode & 0o7777, empty: OWN.has(d.name) || s.dev !== dev }];
    });
  } catch (e) {
    throw syscallErrorFrom(e, "look at the host's tree");
  }
}

function entrySteps({ name, link, mode, empty }: Entry, userxattr: boolean): Step[] {
  const path = `/${name}`;
  if (link !== undefined) return [{ call: 'symlinkat', args: [link, slot(ROOT), name], path }];
  const made: Step[] = [
    { call: 'mkdirat', args: [slot(ROOT), name, octal(mode)], path },
    { call: 'fchmodat', args: [slot(ROOT), name, octal(mode)], path },
  ];
  if (empty) return made;
  return [
    ...made,
    ...overlayOf(name, mode, userxattr),
    { call: 'move_mount', args: [slot(MOUNT), '', slot(ROOT), name, MOVE_MOUNT_F_EMPTY_PATH], path },
  ];
}

/** Leaves an overlay of /name in the slot, or a read-only copy when other mounts below it forbid one. */
function overlayOf(name: string, mode: number, userxattr: boolean): Step[] {
  const path = `/${name}`;
  const fs = slot(FS);
  const layer = (key: string, from: string): Step => ({ call: 'fsconfig', args: [fs, FSCONFIG.fd, key, null, slot(from)], path });
  const settings = overlaySettings({ userxattr, volatile: false });
  const copy: Step[] = [
    { call: 'open_tree', args: [AT_FDCWD, path, openTreeFlags('OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC', 'AT_RECURSIVE')], into: MOUNT },
    {
      call: 'mount_setattr',
      args: [slot(MOUNT), '', atFlags('AT_EMPTY_PATH', 'AT_RECURSIVE'), mountAttr({ readOnly: true, private: true }), MOUNT_ATTR_SIZE],
      path,
    },
  ];
  return [
    { call: 'mkdirat', args: [slot(UPPERS), name, octal(0o700)], path },
    { call: 'openat', args: [slot(UPPERS), name, DIRECTORY, 0], into: PARENT, path },
    { call: 'mkdirat', args: [slot(PARENT), 'upper', octal(mode)], path },
    { call: 'fchmodat', args: [slot(PARENT), 'upper', octal(mode)], path },
    { call: 'mkdirat', args: [slot(PARENT), 'work', octal(0o700)], path },
    { call: 'openat', args: [slot(PARENT), 'upper', DIRECTORY, 0], into: UPPER, path },
    { call: 'openat', args: [slot(PARENT), 'work', DIRECTORY, 0], into: WORK, path },
    { call: 'openat', args: [AT_FDCWD, path, DIRECTORY, 0], into: LOWER },
    { call: 'fsopen', args: ['overlay', FSOPEN_CLOEXEC], into: FS },
    layer('lowerdir+', LOWER),
    layer('upperdir', UPPER),
    layer('workdir', WORK),
    ...settings.map(
      ([key, value]): Step => ({
        call: 'fsconfig',
        args: value === true ? [fs, FSCONFIG.flag, key, null, 0] : [fs, FSCONFIG.string, key, value, 0],
        path,
      }),
    ),
    { call: 'fsconfig', args: [fs, FSCONFIG.create, null, null, 0], allow: ['EINVAL'], skipOnAllowed: 1, path },
    { call: 'fsmount', args: [fs, FSMOUNT_CLOEXEC, mountAttribute(false)], into: MOUNT, skipOnSuccess: copy.length, path },
    ...copy,
  ];
}
