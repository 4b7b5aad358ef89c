// An overlay as steps: a detached mount by fsopen, fsconfig, fsmount. Nothing is attached anywhere.
//
//   fsopen overlay ── lowerdir+ = first layer by descriptor ── refused: an older kernel ──> describe-fallback.ts
//        │ (Linux 6.15)
//        ├── lowerdir+ for the other layers, options
//        ├── upper: a detached tmpfs, a device's ext4, or a directory; upper/ and work/ in it, by descriptor
//        └── create ── fsmount ──> the slot
//
// Layers and uppers go in by descriptor: no length limit (fsconfig takes strings of 255 bytes), no escaping, and what
// was opened is what is mounted. <https://docs.kernel.org/filesystems/overlayfs.html>
import { type Step, slot } from '@ctr/internal/steps';
import { describeFallback } from './describe-fallback.js';
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  FSCONFIG,
  FSMOUNT_CLOEXEC,
  FSOPEN_CLOEXEC,
  idmapAttr,
  MOUNT_ATTR_SIZE,
  mountAttribute,
  openFlags,
  openTreeFlags,
} from './flags.js';
import { checkOverlay, deviceOf, type Overlay, type OverlayOptions } from './overlay-options.js';
import { deviceSteps, memorySteps, overlaySettings, UPPER_PARENT, upperDirectories } from './overlay-parts.js';

/** A root filesystem as steps for the launcher. */
export interface DescribedRoot {
  /**
   * Only with an upper on a device: to be taken out, for `spawn({ prepare })`. The process itself is in its control groups already, whose
   * rules may forbid devices.
   */
  readonly prepare?: readonly Step[];
  /** For the setup stage: they run in the new process, in its own mount namespace. */
  readonly steps: Step[];
  /** The slot that holds the detached mount afterwards. */
  readonly slot: string;
  /** Slots of detached mounts that the steps needed, and that nothing needs once the root is attached; undefined: none. */
  readonly temporary?: readonly string[];
}

const DOING = 'make the overlay root';
export const OVERLAY_SLOT = 'overlay';
const FS = 'overlay.fs';
const LAYER = 'overlay.layer';
const EMPTY = 'overlay.empty';
const USERNS = 'overlay.userns';
const MAPPING = 'map the owners of a layer';
/**
 * What a kernel before 6.15 says to a layer by descriptor. EOPNOTSUPP: no file system's option takes one (before 6.5). EINVAL:
 * this option takes none. EBADF: it takes one, but no O_PATH (6.13 and 6.14).
 */
export const NO_DESCRIPTORS: readonly string[] = ['EOPNOTSUPP', 'EINVAL', 'EBADF'];
/** A step can leave out this many of the following ones (one byte on the wire). */
const MAX_SKIP = 255;

/**
 * Describes an overlay of read-only layers and a writable upper, as steps for `spawn({ root })` of `@ctr/namespaces`. The
 * result is a detached mount in a slot: the host's mount table never changes.
 *
 * @remarks One plan for all kernels: from Linux 6.15 layers are passed by descriptor; on older ones (5.11 and newer) the same
 * steps turn to mount(2) inside the container's own, private mount namespace.
 *
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong.
 * @see https://docs.kernel.org/filesystems/overlayfs.html
 * @example
 * ```ts
 * const root = describeOverlay({ lower: ['/layers/app', '/layers/base'], upper: 'memory', size: 64 * 2 ** 20 })
 * const child = await spawn({ args: ['/bin/sh'], root, namespaces: { mount: 'new', pid: 'new' } })
 * ```
 */
export function describeOverlay(options: OverlayOptions): DescribedRoot {
  const overlay = checkOverlay(options);
  const temporary = overlay.upper === 'memory' || deviceOf(overlay) !== undefined ? [UPPER_PARENT] : [];
  const steps = overlaySteps(overlay, describeFallback(overlay, OVERLAY_SLOT));
  const prepare = deviceSteps(overlay).map((s) => ({ doing: DOING, ...s }));
  return { ...(prepare.length > 0 ? { prepare } : {}), steps, slot: OVERLAY_SLOT, temporary };
}

/** The detached form, followed by `fallback` for a kernel that cannot do it; an empty fallback makes that an error. */
export function overlaySteps(overlay: Overlay, fallback: readonly Step[]): Step[] {
  const steps = [...detachedSteps(overlay)];
  // Too many steps to leave out at once: more than 110 layers need the newer kernel.
  if (fallback.length === 0 || fallback.length > MAX_SKIP || steps.length > MAX_SKIP) return steps.map((s) => ({ doing: DOING, ...s }));
  const trial = steps.findIndex((s) => s.call === 'fsconfig');
  const rest = steps.length - 1 - trial;
  steps[0] = { ...(steps[0] as Step), allow: ['ENOSYS'], skipOnAllowed: steps.length - 1 };
  steps[trial] = { ...(steps[trial] as Step), allow: [...NO_DESCRIPTORS], skipOnAllowed: rest };
  steps[steps.length - 1] = { ...(steps.at(-1) as Step), skipOnSuccess: fallback.length };
  return [...steps, ...fallback].map((s) => ({ doing: DOING, ...s }));
}

function* detachedSteps(o: Overlay): Generator<Step> {
  yield { call: 'fsopen', args: ['overlay', FSOPEN_CLOEXEC], into: FS };
  if (o.idmap !== undefined) yield { call: 'openat', args: [AT_FDCWD, o.idmap, openFlags('O_CLOEXEC'), 0], into: USERNS };
  for (const path of o.lower) yield* layer(path, 'lowerdir+', o.idmap !== undefined);
  for (const path of o.dataLower) yield* layer(path, 'datadir+', o.idmap !== undefined);
  // The kernel wants two layers when there is no upper. The empty one goes below: its root's mode does not show.
  if (o.upper === 'none' && o.lower.length === 1) yield* emptyLayer();
  yield setString('source', 'overlay');
  for (const [key, value] of overlaySettings(o)) yield value === true ? setFlag(key) : setString(key, value);
  if (o.upper !== 'none') {
    const directories = upperDirectories(o);
    yield* directories.steps;
    yield setFd('upperdir', directories.upper);
    yield setFd('workdir', directories.work);
  }
  yield { call: 'fsconfig', args: [slot(FS), FSCONFIG.create, null, null, 0], path: 'overlay' };
  yield { call: 'fsmount', args: [slot(FS), FSMOUNT_CLOEXEC, mountAttribute(o.readOnly)], into: OVERLAY_SLOT };
}

function* layer(path: string, key: string, mapped: boolean): Generator<Step> {
  const doing = 'open a layer of the overlay root';
  // The slot is used again for each: its descriptor is closed when the next one comes.
  if (mapped) {
    // A copy of the layer's mount: the mount itself goes on to show the owners as they are. mount_setattr(2), "ID-mapped mounts"
    yield { call: 'open_tree', args: [AT_FDCWD, path, openTreeFlags('OPEN_TREE_CLONE', 'OPEN_TREE_CLOEXEC')], into: LAYER, doing };
    yield { call: 'mount_setattr', args: [slot(LAYER), '', AT_EMPTY_PATH, idmapAttr(USERNS), MOUNT_ATTR_SIZE], doing: MAPPING, path };
  } else {
    yield { call: 'openat', args: [AT_FDCWD, path, openFlags('O_PATH', 'O_DIRECTORY', 'O_CLOEXEC'), 0], into: LAYER, doing };
  }
  yield { ...setFd(key, LAYER), path };
}

function* emptyLayer(): Generator<Step> {
  yield* memorySteps(undefined, EMPTY);
  yield setFd('lowerdir+', EMPTY);
}

const setFlag = (key: string): Step => ({ call: 'fsconfig', args: [slot(FS), FSCONFIG.flag, key, null, 0] });
const setString = (key: string, value: string): Step => ({ call: 'fsconfig', args: [slot(FS), FSCONFIG.string, key, value, 0] });
const setFd = (key: string, from: string): Step => ({ call: 'fsconfig', args: [slot(FS), FSCONFIG.fd, key, null, slot(from)] });
