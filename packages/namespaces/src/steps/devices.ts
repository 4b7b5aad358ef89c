// Further device files: mknodat(2), or the host's own of the same path where none can be made.
import { named, type Step } from '@ctr/internal/steps';
import type { Device } from '../spawn/options.js';
import { AT_FDCWD } from './flags.js';
import { cloneTree } from './mount-steps.js';
import { attachMaking, makeDirectories } from './paths.js';

const KIND = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 } as const;
const parent = (path: string): string => path.slice(0, path.lastIndexOf('/')) || '/';

/** new_encode_dev in the kernel's kdev_t.h: 12 bits of major, 20 of minor. */
const makedev = (major: number, minor: number): number => ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0;

/** A FIFO is nobody's device: it can be made in every user namespace. */
const isMade = (d: Device, mknod: boolean): boolean => mknod || d.type === 'p';

/** Before the pivot, where the host's devices can be seen. */
export const prepareDevices = (devices: readonly Device[], mknod: boolean): Step[] =>
  devices.flatMap((d, i) =>
    isMade(d, mknod) ? [] : [cloneTree(d.source ?? d.path, `device${i}`, { recursive: false, doing: `show the device ${d.path}` })],
  );

function make(d: Device): Step[] {
  const doing = `make the device ${d.path}`;
  const mode = KIND[d.type] | (d.fileMode ?? 0o666);
  const number = named(makedev(d.major ?? 0, d.minor ?? 0), `makedev(${d.major ?? 0}, ${d.minor ?? 0})`);
  const owned = (d.uid ?? 0) !== 0 || (d.gid ?? 0) !== 0;
  return [
    ...makeDirectories(parent(d.path), doing),
    // EEXIST: one of the default devices, which are all of this list that matter.
    { call: 'mknodat', args: [AT_FDCWD, d.path, named(mode, `0${mode.toString(8)}`), number], allow: ['EEXIST'], doing },
    ...(owned
      ? [{ call: 'fchownat', args: [AT_FDCWD, d.path, d.uid ?? 0, d.gid ?? 0, named(0x100, 'AT_SYMLINK_NOFOLLOW')], doing } satisfies Step]
      : []),
  ];
}

/** After the mounts. */
export const makeDevices = (devices: readonly Device[], mknod: boolean): Step[] => [
  { call: 'umask', args: [0] },
  ...devices.flatMap((d, i) => (isMade(d, mknod) ? make(d) : attachMaking(`device${i}`, d.path, `show the device ${d.path}`))),
  { call: 'umask', args: [0o022] },
];
