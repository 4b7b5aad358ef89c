// What an overlay is made of, as the caller says it, and its checked form.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkBoolean, checkCount, checkObject, checkPath } from './check-options.js';

/** Mode and owner of a root directory. */
export interface RootFacts {
  /** Permissions. Default 0755. */
  mode?: number | undefined;
  /** Default 0. */
  uid?: number | undefined;
  /** Default 0. */
  gid?: number | undefined;
}

/** What {@link describeOverlay} and {@link mountOverlay} make a root filesystem of. */
export interface OverlayOptions {
  /**
   * The read-only layers, the TOP one first, as overlayfs counts: absolute paths of directories, or descriptors such as
   * {@link mountLayer} gives. 1 to 500. Their files must not change while the overlay is mounted. A descriptor must stay open
   * until the mount is made, and needs root: it goes to the launcher as a path in this process's /proc.
   */
  lower: readonly (string | Fd)[];
  /**
   * Where writes go. `'memory'` (the default): a tmpfs of its own that ends with the mount. `{ directory }`: `upper/` and
   * `work/` in this directory of a disk, made when missing; one mount at a time. The directory's file system must have
   * extended attributes and must not be an overlay itself. `{ device }`: the same two on the ext4 file system of a block device, which is
   * mounted for this overlay alone, by whoever makes it (root); {@link makeSizedUpper} makes such a device. Not set and `readOnly`: there is
   * no place for writes.
   */
  upper?: 'memory' | { directory: string } | { device: string } | undefined;
  /** Bytes that a memory upper may hold; `undefined`: half of the machine's memory (and what the control group allows). */
  size?: number | undefined;
  /**
   * Never waits for the disk: unmounting does not sync it. Default false. For uppers that are thrown away: after a crash
   * the kernel refuses to mount the same `upper` again.
   */
  volatile?: boolean | undefined;
  /**
   * Marks in `user.overlay.*` attributes instead of `trusted.overlay.*`. Default false. Set it inside a user namespace,
   * together with layers that were written with `userxattr`.
   */
  userxattr?: boolean | undefined;
  /**
   * Of the root directory in a new upper, which covers those of the layers. Default: mode 0755, owner 0:0. {@link describeParents} tells what
   * the layers say.
   */
  root?: RootFacts | undefined;
  /** The mount takes no writes. Default false. With `upper`, what is already there is shown. */
  readOnly?: boolean | undefined;
  /**
   * A directory of a lower layer can be renamed: the upper then notes where it came from. Default false: rename(2) says EXDEV, and
   * programs such as mv copy. Only for layers of your own: with it, attributes of a layer decide what is shown where.
   */
  redirectDir?: boolean | undefined;
  /** A change of owner or mode copies no content to the upper. Implies `redirectDir`. Default false. */
  metacopy?: boolean | undefined;
  /**
   * Hard links of a lower file stay one file when it is written to, and the upper belongs to these layers for ever. Default
   * false. Needs lower file systems that can be exported over NFS.
   */
  index?: boolean | undefined;
  /** Inode numbers that are unique over all layers and stay the same when a file is copied up. Default `'off'`. */
  xino?: 'on' | 'off' | 'auto' | undefined;
  /**
   * Layers below all others whose files only show where an upper layer's `redirect` attribute names them: content stores in the
   * manner of composefs. Implies `metacopy`. Linux 6.8; by descriptor 6.15.
   */
  dataLower?: readonly (string | Fd)[] | undefined;
  /**
   * A user namespace by whose maps the owners in the lower layers are seen: id 0 on disk is the id on the host to which that
   * namespace maps its root. For containers in it. Linux 6.15, root, and file systems that know id-mapped mounts.
   */
  idmap?: Fd | undefined;
}

/** The options after the checks, with defaults. */
export interface Overlay {
  readonly lower: readonly string[];
  readonly upper: 'memory' | 'none' | { readonly directory: string } | { readonly device: string };
  readonly size: number | undefined;
  readonly volatile: boolean;
  readonly userxattr: boolean;
  readonly readOnly: boolean;
  readonly root: { readonly mode: number; readonly uid: number; readonly gid: number };
  readonly redirectDir: boolean;
  readonly metacopy: boolean;
  readonly index: boolean;
  readonly xino: 'on' | 'off' | 'auto';
  readonly dataLower: readonly string[];
  /** A path to the user namespace. */
  readonly idmap: string | undefined;
}

/** OVL_MAX_STACK of the kernel. */
const MAX_LAYERS = 500;

const FLAGS = ['volatile', 'userxattr', 'readOnly', 'redirectDir', 'metacopy', 'index'] as const;
const KNOWN = ['lower', 'upper', 'size', 'root', ...FLAGS, 'xino', 'dataLower', 'idmap'] as const;

/** @throws {InvalidArgumentError} naming the option. */
export function checkOverlay(options: OverlayOptions): Overlay {
  checkObject(options, 'options', KNOWN);
  const o = options as OverlayOptions;
  checkLayers(o.lower, 'lower', 1);
  if (o.dataLower !== undefined) checkLayers(o.dataLower, 'dataLower', 0);
  for (const key of FLAGS) checkBoolean(o[key], key);
  checkTogether(o);
  const upper = o.upper ?? (o.readOnly ? 'none' : 'memory');
  checkUpper(upper);
  if (o.size !== undefined) {
    checkCount(o.size, 'size', 'bytes');
    if (upper !== 'memory') throw new InvalidArgumentError('size', 'absent when the upper is not in memory', o.size);
  }
  return {
    lower: o.lower.map(placeOf),
    dataLower: (o.dataLower ?? []).map(placeOf),
    root: checkRoot(o.root),
    redirectDir: o.redirectDir ?? false,
    metacopy: o.metacopy ?? false,
    index: o.index ?? false,
    xino: o.xino ?? 'off',
    idmap: o.idmap && pathOf(o.idmap),
    upper: typeof upper === 'object' ? { ...upper } : upper,
    size: o.size,
    volatile: o.volatile ?? false,
    userxattr: o.userxattr ?? false,
    readOnly: o.readOnly ?? false,
  };
}

/** How another process of this user opens what a descriptor of this one holds, whatever its mount is attached to. proc_pid_fd(5) */
export const pathOf = (fd: Fd): string => `/proc/${process.pid}/fd/${fd.fd}`;

const placeOf = (layer: string | Fd): string => (Fd.is(layer) ? pathOf(layer) : layer);

function checkLayers(layers: unknown, name: string, least: number): void {
  if (!Array.isArray(layers) || layers.length < least || layers.length > MAX_LAYERS)
    throw new InvalidArgumentError(name, `an array of ${least} to ${MAX_LAYERS} paths or descriptors, top first`, layers);
  layers.forEach((layer, i) => {
    if (!Fd.is(layer)) checkPath(layer, `${name}[${i}]`);
    else if (layer.closed) throw new InvalidArgumentError(`${name}[${i}]`, 'an open descriptor', 'a closed one');
  });
}

const MAX_ID = 0xfffffffe;

export function checkRoot(root: unknown = {}): { mode: number; uid: number; gid: number } {
  checkObject(root, 'root', ['mode', 'uid', 'gid']);
  const { mode = 0o755, uid = 0, gid = 0 } = root as RootFacts;
  const within = (value: unknown, most: number): boolean => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
  if (!within(mode, 0o7777)) throw new InvalidArgumentError('root.mode', 'permissions from 0 to 07777', mode);
  if (!within(uid, MAX_ID)) throw new InvalidArgumentError('root.uid', 'a user id', uid);
  if (!within(gid, MAX_ID)) throw new InvalidArgumentError('root.gid', 'a group id', gid);
  return { mode, uid, gid };
}

/** What the kernel refuses with EINVAL and a line in its log that nobody reads. */
function checkTogether(o: OverlayOptions): void {
  if (o.xino !== undefined && !['on', 'off', 'auto'].includes(o.xino))
    throw new InvalidArgumentError('xino', '"on", "off" or "auto"', o.xino);
  if (o.idmap !== undefined && (!Fd.is(o.idmap) || o.idmap.closed))
    throw new InvalidArgumentError('idmap', 'an open descriptor of a user namespace', o.idmap);
  for (const key of ['redirectDir', 'metacopy', 'idmap'] as const)
    if (o.userxattr && o[key]) throw new InvalidArgumentError(key, 'absent with userxattr', o[key]);
}

function checkUpper(upper: unknown): asserts upper is Overlay['upper'] {
  if (upper === 'memory' || upper === 'none') return;
  if (typeof upper !== 'object') throw new InvalidArgumentError('upper', '"memory", { directory } or { device }', upper);
  checkObject(upper, 'upper', ['directory', 'device']);
  const { directory, device } = upper;
  if (directory !== undefined && device !== undefined) throw new InvalidArgumentError('upper.device', 'absent with a directory', device);
  checkPath(device ?? directory, device === undefined ? 'upper.directory' : 'upper.device');
}

/** The directory of an upper on a disk that is there already. */
export const directoryOf = ({ upper }: Pick<Overlay, 'upper'>): string | undefined =>
  typeof upper === 'object' && 'directory' in upper ? upper.directory : undefined;

/** The block device of an upper whose file system is the overlay's own. */
export const deviceOf = ({ upper }: Pick<Overlay, 'upper'>): string | undefined =>
  typeof upper === 'object' && 'device' in upper ? upper.device : undefined;
