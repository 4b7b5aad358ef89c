// What was changed in a writable layer: added, modified, deleted.
import { closeSync, constants, openSync } from 'node:fs';
import { AbortError, assertLinux, InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkObject, checkPath } from './check-options.js';
import { checkIdMaps, type IdMaps, seenInside } from './id-maps.js';
import { native, type ScannedEntry } from './native.js';
import { type HeldLayer, isDirectory, type UpperEntry, walkUppers } from './upper-walk.js';

/** Options of {@link diffUpper} and {@link packUpper}. */
export interface DiffOptions {
  /** The layers below the upper, top first, as in {@link OverlayOptions.lower}. */
  lower: readonly (string | Fd)[];
  /**
   * The maps of the user namespace in which the upper was written, when owners shall be told as that shows them. An id that they do not have is 65534, as
   * stat(2) shows it there. Default: as they are on disk.
   */
  ids?: IdMaps | undefined;
  /** The same for the layers below, when they are on disk with those owners too, as an ordinary user's. Default: as they are on disk. */
  lowerIds?: IdMaps | undefined;
  /** Absolute paths that are left out where the layers have nothing: places that were made to mount something there. Default: none. */
  except?: readonly string[] | undefined;
  /** Ends the walk with an AbortError. */
  signal?: AbortSignal | undefined;
}

/** What an entry is. */
export type EntryType = 'file' | 'directory' | 'symlink' | 'fifo' | 'socket' | 'character-device' | 'block-device';

/** One change that an upper makes to the layers below it. */
export interface Change {
  readonly kind: 'added' | 'modified' | 'deleted';
  /** Absolute, inside of the root. Bytes that are no UTF-8 are shown as U+FFFD; {@link rawPath} has them. */
  readonly path: string;
  /** The path's bytes, without the leading slash. */
  readonly rawPath: Buffer;
  /** What it is now; of something deleted, what it was. */
  readonly type: EntryType;
  /** Permissions, with the set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of a file; 0 for others. */
  readonly size: number;
}

const TYPES: ReadonlyMap<number, EntryType> = new Map([
  [constants.S_IFREG, 'file'],
  [constants.S_IFDIR, 'directory'],
  [constants.S_IFLNK, 'symlink'],
  [constants.S_IFIFO, 'fifo'],
  [constants.S_IFSOCK, 'socket'],
  [constants.S_IFCHR, 'character-device'],
  [constants.S_IFBLK, 'block-device'],
]);

export const typeOf = (e: ScannedEntry): EntryType => TYPES.get(e.mode & constants.S_IFMT) ?? 'file';

/**
 * The changes of a writable layer, each once, a directory before what it holds. What overlayfs copied up without a change, such
 * as the directories above a new file, is no change.
 *
 * @remarks Reads `upper/` in the directory and the layers, mounts nothing, follows no link. The overlay should not be written to
 * meanwhile: what changes during the walk may be seen or not. Not for overlays with `redirectDir` or `metacopy`.
 * @param uppers - The directory that was given as `upper`, or several that lie upon each other, top first.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an argument is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED for an upper with redirects, and on another system than Linux.
 * @throws {SyscallError} with the errno's name as code, such as ENOENT.
 * @throws {AbortError} ABORT_ERR when the signal fires.
 * @example
 * ```ts
 * for await (const { kind, path } of diffUpper('/work/1', { lower: ['/layers/base'] })) console.log(kind, path)
 * ```
 */
export async function* diffUpper(uppers: string | readonly string[], options: DiffOptions): AsyncGenerator<Change> {
  for await (const entry of changedEntries(uppers, options)) {
    const shown = entry.node ?? (entry.before as ScannedEntry);
    yield {
      kind: entry.node === undefined ? 'deleted' : entry.before === undefined ? 'added' : 'modified',
      path: `/${entry.path.toString()}`,
      rawPath: entry.path,
      type: typeOf(shown),
      mode: shown.mode & 0o7777,
      uid: shown.uid,
      gid: shown.gid,
      size: typeOf(shown) === 'file' ? shown.size : 0,
    };
  }
}

/** The entries that are changes. */
async function* changedEntries(uppers: string | readonly string[], options: DiffOptions): AsyncGenerator<UpperEntry> {
  for await (const entry of heldWalk(uppers, options)) if (isChange(entry)) yield entry;
}

/** The arguments of whoever looks at uppers, checked. */
export function checkUppers(
  uppers: string | readonly string[],
  options: DiffOptions,
): Omit<DiffOptions, 'signal' | 'except'> & { list: readonly string[]; except: readonly string[]; signal: AbortSignal | undefined } {
  const list = typeof uppers === 'string' ? [uppers] : uppers;
  if (!Array.isArray(list) || list.length === 0) throw new InvalidArgumentError('uppers', 'a path or an array of at least one', uppers);
  for (const [i, directory] of list.entries()) checkPath(directory, `uppers[${i}]`);
  checkObject(options, 'options', ['lower', 'ids', 'lowerIds', 'except', 'signal']);
  const { lower, ids, lowerIds, except = [], signal } = options as DiffOptions;
  if (!Array.isArray(except)) throw new InvalidArgumentError('except', 'an array of absolute paths', except);
  for (const [i, place] of except.entries()) checkPath(place, `except[${i}]`);
  if (ids !== undefined) checkIdMaps(ids, 'ids');
  if (lowerIds !== undefined) checkIdMaps(lowerIds, 'lowerIds');
  if (!Array.isArray(lower)) throw new InvalidArgumentError('lower', 'an array of paths or descriptors, top first', lower);
  for (const [i, layer] of lower.entries()) if (!Fd.is(layer)) checkPath(layer, `lower[${i}]`);
  assertLinux('the changes of a writable layer');
  native();
  return { list, lower, ids, lowerIds, except, signal };
}

/** A layer below as a path in this process. */
export const lowerPath = (layer: string | Fd): string => (Fd.is(layer) ? `/proc/self/fd/${layer.fd}/.` : layer);

/** Holds the layers for as long as the walk lasts. */
async function* heldWalk(uppers: string | readonly string[], options: DiffOptions): AsyncGenerator<UpperEntry> {
  const { list, lower, ids, lowerIds, except, signal } = checkUppers(uppers, options);
  const leftOut = new Set(except);
  const opened: HeldLayer[] = [];
  try {
    const hold = (path: string): HeldLayer => {
      const layer = { fd: openDirectory(path), path };
      opened.push(layer);
      return layer;
    };
    const ours = list.map((directory) => hold(`${directory}/upper`));
    const theirs = lower.map((layer) => hold(lowerPath(layer)));
    for await (const entry of walkUppers(ours, theirs)) {
      if (signal?.aborted) throw new AbortError('read the changes of a writable layer', signal.reason);
      if (entry.before === undefined && leftOut.has(`/${entry.path.toString()}`)) continue;
      yield { ...entry, node: seenInside(ids, entry.node), before: seenInside(lowerIds, entry.before) };
    }
  } finally {
    for (const { fd } of opened) closeSync(fd);
  }
}

function openDirectory(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (e) {
    throw syscallErrorFrom(e, 'open a layer');
  }
}

/** overlayfs's own attributes are no part of what a program sees. */
const visible = (e: ScannedEntry): string =>
  Object.entries(e.xattrs)
    .filter(([key]) => !/^(trusted|user)\.overlay\./.test(key))
    .map(([key, value]) => `${key}=${value.toString('hex')}`)
    .join();

/** A copied-up file has all of the lower one's facts, its time to the nanosecond too. */
function isChange({ node, before, replaced, path }: UpperEntry): boolean {
  if (node === undefined || before === undefined || replaced) return true;
  // The root of an upper is made by us, and its time is that of the last name in it.
  if (path.length === 0) return node.mode !== before.mode || node.uid !== before.uid || node.gid !== before.gid;
  if (node.mode !== before.mode || node.uid !== before.uid || node.gid !== before.gid || visible(node) !== visible(before)) return true;
  // A directory's time changes with every name in it, which is a change of its own.
  if (isDirectory(node)) return false;
  const target = node.target?.equals(before.target ?? Buffer.alloc(0)) ?? true;
  return (
    !target ||
    node.size !== before.size ||
    node.mtime !== before.mtime ||
    node.mtimeNs !== before.mtimeNs ||
    node.major !== before.major ||
    node.minor !== before.minor
  );
}
