// The parts that the new and the old form of an overlay mount share: settings, the tmpfs, upper/ and work/.
import { type Arg, named, type Step, slot } from '@ctr/internal/steps';
import { AT_FDCWD, FSCONFIG, FSMOUNT_CLOEXEC, FSOPEN_CLOEXEC, mountAttribute, openFlags } from './flags.js';
import { deviceOf, directoryOf, type Overlay } from './overlay-options.js';

/** Holds upper/ and work/. */
export const UPPER_PARENT = 'overlay.parent';
const UPPER = 'overlay.upper';
const WORK = 'overlay.work';

/** Of the root that the container sees: overlayfs shows the upper directory's. */
const ROOT_MODE = named(0o755, '0755');

/**
 * SECURITY: said explicitly, since kernels are built with other defaults: an image must not be able to make the merged
 * view follow redirects or take metadata from elsewhere by attributes it brings. `nofollow` and not `off`: where the kernel
 * always follows, `off` still follows, and with userxattr only `nofollow` is accepted.
 */
export function overlaySettings(
  o: Pick<Overlay, 'userxattr' | 'volatile'> &
    Partial<Pick<Overlay, 'upper' | 'redirectDir' | 'metacopy' | 'index' | 'xino' | 'dataLower'>>,
): [string, string | true][] {
  const data = (o.dataLower ?? []).length > 0;
  // The kernel has metacopy only together with redirects, and lets an upper only make what it follows.
  const redirects = o.redirectDir || o.metacopy || data;
  const settings: [string, string | true][] = [
    ['redirect_dir', redirects ? (o.upper === 'none' ? 'follow' : 'on') : 'nofollow'],
    ['metacopy', o.metacopy || data ? 'on' : 'off'],
    ['index', o.index ? 'on' : 'off'],
    ['xino', o.xino ?? 'off'],
  ];
  if (o.userxattr) settings.push(['userxattr', true]);
  if (o.volatile) settings.push(['volatile', true]);
  return settings;
}

/** A tmpfs as a detached mount in the slot `into`. */
export function memorySteps(size: number | undefined, into: string): Step[] {
  const fs = slot(`${into}.fs`);
  const set = (key: string, value: string): Step => ({ call: 'fsconfig', args: [fs, FSCONFIG.string, key, value, 0] });
  return [
    { call: 'fsopen', args: ['tmpfs', FSOPEN_CLOEXEC], into: fs.slot },
    set('mode', ROOT_MODE.text),
    ...(size === undefined ? [] : [set('size', String(size))]),
    { call: 'fsconfig', args: [fs, FSCONFIG.create, null, null, 0], path: 'tmpfs' },
    { call: 'fsmount', args: [fs, FSMOUNT_CLOEXEC, mountAttribute(false)], into },
  ];
}

/**
 * Settings of the ext4 on a device: `noinit_itable`, since a fresh one in a file has zeros where inodes will be; without barriers where
 * nothing is to outlive a crash. ext4(5)
 */
const deviceSettings = ({ volatile }: Pick<Overlay, 'volatile'>): string[] => ['noinit_itable', ...(volatile ? ['nobarrier'] : [])];

/**
 * The file system of the device as a detached mount, in the slot of the upper's parent. Apart from the rest: a process that is in its control
 * groups already may open no devices.
 */
export function deviceSteps(o: Overlay): Step[] {
  const device = deviceOf(o);
  if (device === undefined) return [];
  const fs = slot(`${UPPER_PARENT}.fs`);
  return [
    { call: 'fsopen', args: ['ext4', FSOPEN_CLOEXEC], into: fs.slot },
    { call: 'fsconfig', args: [fs, FSCONFIG.string, 'source', device, 0], path: device },
    ...deviceSettings(o).map((key): Step => ({ call: 'fsconfig', args: [fs, FSCONFIG.flag, key, null, 0], path: device })),
    { call: 'fsconfig', args: [fs, FSCONFIG.create, null, null, 0], path: device },
    { call: 'fsmount', args: [fs, FSMOUNT_CLOEXEC, mountAttribute(false)], into: UPPER_PARENT, path: device },
  ];
}

function parentSteps(o: Overlay): Step[] {
  if (deviceOf(o) !== undefined) return [];
  const directory = directoryOf(o);
  return directory === undefined ? memorySteps(o.size, UPPER_PARENT) : [openDirectory(AT_FDCWD, directory, UPPER_PARENT, false)];
}

/** Makes and opens upper/ and work/, in a new tmpfs, on the device that is mounted already, or in the caller's directory. */
export function upperDirectories(o: Overlay): { steps: Step[]; upper: string; work: string } {
  const steps = [
    ...parentSteps(o),
    ...makeDirectories({ at: slot(UPPER_PARENT), prefix: '' }, directoryOf(o) ?? deviceOf(o), o.root),
    openDirectory(slot(UPPER_PARENT), 'upper', UPPER, true),
    openDirectory(slot(UPPER_PARENT), 'work', WORK, true),
  ];
  return { steps, upper: UPPER, work: WORK };
}

/** Where upper/ and work/ are made: in a directory that is open, or below the prefix of a path. */
interface UpperPlace {
  readonly at: Arg;
  readonly prefix: string;
}

/** upper/ with exactly the root's mode, whatever the umask; one that is there keeps the mode that the container gave it. */
export function makeDirectories({ at: dir, prefix }: UpperPlace, label: string | undefined, root: Overlay['root']): Step[] {
  const at = label === undefined ? {} : { path: label };
  const [upper, work] = [`${prefix}upper`, `${prefix}work`];
  const mode = named(root.mode, root.mode.toString(8).padStart(4, '0'));
  // chown(2) may clear set-id bits: the mode comes last.
  const owner: Step[] = root.uid === 0 && root.gid === 0 ? [] : [{ call: 'fchownat', args: [dir, upper, root.uid, root.gid, 0], ...at }];
  return [
    { call: 'mkdirat', args: [dir, upper, mode], allow: ['EEXIST'], skipOnAllowed: 1 + owner.length, ...at },
    ...owner,
    { call: 'fchmodat', args: [dir, upper, mode], ...at },
    { call: 'mkdirat', args: [dir, work, named(0o700, '0700')], allow: ['EEXIST'], ...at },
  ];
}

export function openDirectory(from: Arg, path: string, into: string, ours: boolean): Step {
  const flags = openFlags('O_PATH', 'O_DIRECTORY', ...(ours ? (['O_NOFOLLOW'] as const) : []), 'O_CLOEXEC');
  return { call: 'openat', args: [from, path, flags, 0], into };
}
