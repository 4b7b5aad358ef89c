// What an overlay is made of, as the caller says it, and its checked form.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkBoolean, checkCount, checkObject, checkPath } from './check-options.js';

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
   * extended attributes and must not be an overlay itself. Not set and `readOnly`: there is no place for writes.
   */
  upper?: 'memory' | { directory: string } | undefined;
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
  /** The mount takes no writes. Default false. With `upper`, what is already there is shown. */
  readOnly?: boolean | undefined;
}

/** The options after the checks, with defaults. */
export interface Overlay {
  readonly lower: readonly string[];
  readonly upper: 'memory' | 'none' | { readonly directory: string };
  readonly size: number | undefined;
  readonly volatile: boolean;
  readonly userxattr: boolean;
  readonly readOnly: boolean;
}

/** OVL_MAX_STACK of the kernel. */
const MAX_LAYERS = 500;

const KNOWN = ['lower', 'upper', 'size', 'volatile', 'userxattr', 'readOnly'] as const;

/** @throws {InvalidArgumentError} naming the option. */
export function checkOverlay(options: OverlayOptions): Overlay {
  checkObject(options, 'options', KNOWN);
  const o = options as OverlayOptions;
  checkLower(o.lower);
  for (const key of ['volatile', 'userxattr', 'readOnly'] as const) checkBoolean(o[key], key);
  const upper = o.upper ?? (o.readOnly ? 'none' : 'memory');
  checkUpper(upper);
  if (o.size !== undefined) {
    checkCount(o.size, 'size', 'bytes');
    if (upper !== 'memory') throw new InvalidArgumentError('size', 'absent when the upper is not in memory', o.size);
  }
  return {
    lower: o.lower.map((layer) => (Fd.is(layer) ? pathOf(layer) : layer)),
    upper: typeof upper === 'object' ? { directory: upper.directory } : upper,
    size: o.size,
    volatile: o.volatile ?? false,
    userxattr: o.userxattr ?? false,
    readOnly: o.readOnly ?? false,
  };
}

/** How another process of this user opens what a descriptor of this one holds, whatever its mount is attached to. proc_pid_fd(5) */
export const pathOf = (fd: Fd): string => `/proc/${process.pid}/fd/${fd.fd}`;

function checkLower(lower: unknown): asserts lower is readonly (string | Fd)[] {
  if (!Array.isArray(lower) || lower.length < 1 || lower.length > MAX_LAYERS)
    throw new InvalidArgumentError('lower', `an array of 1 to ${MAX_LAYERS} paths or descriptors, top first`, lower);
  lower.forEach((layer, i) => {
    if (!Fd.is(layer)) checkPath(layer, `lower[${i}]`);
    else if (layer.closed) throw new InvalidArgumentError(`lower[${i}]`, 'an open descriptor', 'a closed one');
  });
}

function checkUpper(upper: unknown): asserts upper is Overlay['upper'] {
  if (upper === 'memory' || upper === 'none') return;
  if (typeof upper !== 'object') throw new InvalidArgumentError('upper', '"memory" or { directory }', upper);
  checkObject(upper, 'upper', ['directory']);
  checkPath(upper['directory'], 'upper.directory');
}
