// The same overlay on kernels before 6.15, by mount(2) in the container's own mount namespace:
//
//   mount on /proc ── copy it detached (open_tree) ── unmount /proc again
//
// mount(2) can only attach, and a tmpfs must be attached to serve as an upper there. /proc is a directory that every
// host has and through which no layer's path leads; it is covered for some microseconds, for this process alone.
// Unlike fsconfig, mount(2) takes options of a whole page, so 255 bytes are no limit here.
import { type Step, slot } from '@ctr/internal/steps';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  MNT_DETACH,
  MOUNT_ATTR_SIZE,
  MOVE_MOUNT_F_EMPTY_PATH,
  mountAttr,
  mountFlags,
  openTreeFlags,
} from './flags.js';
import { deviceOf, directoryOf, type Overlay } from './overlay-options.js';
import { makeDirectories, openDirectory, overlaySettings, UPPER_PARENT } from './overlay-parts.js';

const PLACE = '/proc';
/** A page, its last byte a zero. */
const MAX_OPTIONS = 4095;

/** The steps, or none when the options would not fit into mount(2)'s page even with short names. */
export function describeFallback(o: Overlay, into: string): Step[] {
  // Both need layers as descriptors.
  if (o.idmap !== undefined || o.dataLower.length > 0) return [];
  const options = mountOptions(o);
  if (options === undefined) return [];
  return [
    // The launcher has done this already; but a mount that reaches the host must be impossible here.
    { call: 'mount', args: [null, '/', null, mountFlags('MS_REC', 'MS_PRIVATE'), null] },
    ...upperSteps(o),
    ...(options.directory === undefined ? [] : [{ call: 'chdir', args: [options.directory] }]),
    { call: 'mount', args: ['overlay', PLACE, 'overlay', 0, options.text], path: 'overlay' },
    { call: 'open_tree', args: [AT_FDCWD, PLACE, openTreeFlags('OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC')], into },
    ...(o.readOnly ? [readOnlyStep(into)] : []),
    detach,
    ...(needsMemory(o) || deviceOf(o) !== undefined ? [detach] : []),
  ];
}

const detach: Step = { call: 'umount2', args: [PLACE, MNT_DETACH] };

const readOnlyStep = (into: string): Step => ({
  call: 'mount_setattr',
  args: [slot(into), '', AT_EMPTY_PATH, mountAttr({ readOnly: true, private: false }), MOUNT_ATTR_SIZE],
});

/** An overlay without an upper needs two layers: then the memory is the empty second one. */
const needsMemory = (o: Overlay): boolean => o.upper === 'memory' || (o.upper === 'none' && o.lower.length === 1);

function upperSteps(o: Overlay): Step[] {
  if (o.upper === 'none' && !needsMemory(o)) return [];
  const size = o.size === undefined ? '' : `,size=${o.size}`;
  const memory: Step = { call: 'mount', args: ['tmpfs', PLACE, 'tmpfs', mountFlags('MS_NOSUID', 'MS_NODEV'), `mode=0755${size}`] };
  if (o.upper === 'none') return [memory];
  const [directory, device] = [directoryOf(o), deviceOf(o)];
  const mounted = device === undefined ? [memory] : [deviceStep];
  return [
    ...(directory === undefined ? mounted : []),
    openDirectory(AT_FDCWD, directory ?? PLACE, UPPER_PARENT, false),
    ...makeDirectories({ at: slot(UPPER_PARENT), prefix: '' }, directory ?? device, o.root),
  ];
}

/** Mounted already, to nothing. */
const deviceStep: Step = { call: 'move_mount', args: [slot(UPPER_PARENT), '', AT_FDCWD, PLACE, MOVE_MOUNT_F_EMPTY_PATH] };

/** Full paths when they fit, else names relative to the directory that all layers have in common. */
function mountOptions(o: Overlay): { text: string; directory?: string } | undefined {
  const full = optionText(o, o.lower);
  if (Buffer.byteLength(full) <= MAX_OPTIONS) return { text: full };
  const directory = commonDirectory(o.lower);
  const names = o.lower.map((p) => p.slice(directory.length).replace(/^\/+/, ''));
  const short = optionText(o, names);
  return Buffer.byteLength(short) <= MAX_OPTIONS ? { text: short, directory } : undefined;
}

function optionText(o: Overlay, lower: readonly string[]): string {
  const layers = o.upper === 'none' && needsMemory(o) ? [...lower, PLACE] : lower;
  // A backslash keeps what separates layers and options from doing so.
  const options = [`lowerdir=${layers.map((p) => p.replace(/[\\:,]/g, '\\$&')).join(':')}`];
  if (o.upper !== 'none') {
    const parent = directoryOf(o)?.replace(/[\\,]/g, '\\$&') ?? PLACE;
    options.push(`upperdir=${parent}/upper`, `workdir=${parent}/work`);
  }
  for (const [key, value] of overlaySettings(o)) options.push(value === true ? key : `${key}=${value}`);
  return options.join(',');
}

/** As the paths are written: nothing is normalised, since ".." after a link is not what it looks like. */
function commonDirectory(paths: readonly string[]): string {
  const split = paths.map((p) => p.replace(/\/+$/, '').split('/').slice(0, -1));
  const first = split[0] ?? [];
  const end = first.findIndex((part, i) => split.some((other) => other[i] !== part));
  return first.slice(0, end < 0 ? undefined : end).join('/') || '/';
}
