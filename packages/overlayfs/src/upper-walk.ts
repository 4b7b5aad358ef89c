// What uppers change about the layers below them, found by reading directories: nothing is mounted.
//
//   uppers (top first) ──┐                     a whiteout, a file or an opaque directory ends the
//   lowers (top first) ──┴─ one directory ──>  stack for what lies below it, as in overlayfs itself
import { constants } from 'node:fs';
import { SyscallError, UnsupportedError } from '@ctr/internal/errors';
import { errorOf } from './layer-error.js';
import { type Binding, native, type ScannedEntry } from './native.js';

/** A held tree. */
export interface HeldLayer {
  readonly fd: number;
  readonly path: string;
}

/** An entry of the uppers with what the lower layers had in its place. */
export interface UpperEntry {
  /** Bytes, relative to the root; empty for the root. */
  readonly path: Buffer;
  /** `undefined`: deleted. */
  readonly node: ScannedEntry | undefined;
  /** `undefined`: there was nothing. */
  readonly before: ScannedEntry | undefined;
  /** A directory in which nothing of the lower layers shows, though they have it. */
  readonly replaced: boolean;
  /** The upper that has it. */
  readonly layer: HeldLayer;
}

/** One name in a stack: its inode and the layers in which it goes on as a directory. */
interface Stacked {
  readonly node: ScannedEntry;
  readonly layer: HeldLayer;
  readonly below: HeldLayer[];
  /** Nothing of the layers under this stack shows. */
  readonly ends: boolean;
}

const isType = (e: ScannedEntry, type: number): boolean => (e.mode & constants.S_IFMT) === type;
export const isDirectory = (e: ScannedEntry): boolean => isType(e, constants.S_IFDIR);
const marked = (e: ScannedEntry, mark: string): boolean =>
  ['trusted', 'user'].some((ns) => e.xattrs[`${ns}.overlay.${mark}`] !== undefined);
/** A device 0:0, or, where none can be made, an empty file with a mark. */
const isWhiteout = (e: ScannedEntry): boolean =>
  (isType(e, constants.S_IFCHR) && e.major === 0 && e.minor === 0) ||
  (isType(e, constants.S_IFREG) && e.size === 0 && marked(e, 'whiteout'));
const isOpaque = (e: ScannedEntry): boolean =>
  ['trusted', 'user'].some((ns) => e.xattrs[`${ns}.overlay.opaque`]?.toString('latin1') === 'y');

/** Not there, or no directory any more. */
const ABSENT: ReadonlySet<string> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP']);

async function scan(binding: Binding, layer: HeldLayer, path: Buffer): Promise<ScannedEntry[]> {
  try {
    return await binding.scanDirectory(layer.fd, path);
  } catch (e) {
    const error = errorOf(e, `read ${JSON.stringify(path.toString())} of the layer ${layer.path}`);
    if (error instanceof SyscallError && ABSENT.has(error.code)) return [];
    throw error;
  }
}

/** A renamed directory or a file without its content cannot be understood from the upper alone. */
function assertPlain(entry: ScannedEntry, layer: HeldLayer): void {
  for (const mark of ['redirect', 'metacopy'])
    if (marked(entry, mark))
      throw new UnsupportedError(
        `the changes of an upper with overlay's "${mark}"`,
        'an overlay mounted without redirectDir and metacopy',
        undefined,
        {
          hint: `${JSON.stringify(entry.name.toString())} in ${layer.path}`,
        },
      );
}

/** Everything that a stack of layers has in one directory, whiteouts included. */
async function stack(binding: Binding, layers: readonly HeldLayer[], path: Buffer): Promise<Map<string, Stacked>> {
  const out = new Map<string, Stacked>();
  for (const layer of layers) {
    const [, ...entries] = await scan(binding, layer, path);
    for (const node of entries) {
      const key = node.name.toString('latin1');
      const above = out.get(key);
      if (above?.ends) continue;
      assertPlain(node, layer);
      const directory = isDirectory(node);
      if (above === undefined) out.set(key, { node, layer, below: directory ? [layer] : [], ends: !directory || isOpaque(node) });
      else if (directory) out.set(key, { ...above, below: [...above.below, layer], ends: isOpaque(node) });
      else out.set(key, { ...above, ends: true });
    }
  }
  return out;
}

const join = (directory: Buffer, name: Buffer): Buffer =>
  directory.length === 0 ? name : Buffer.concat([directory, Buffer.from('/'), name]);

/** All entries of the uppers, a directory before what it holds, in the order of bytes. */
export async function* walkUppers(uppers: readonly HeldLayer[], lowers: readonly HeldLayer[]): AsyncGenerator<UpperEntry> {
  const binding = native();
  const [self] = uppers[0] === undefined ? [] : await scan(binding, uppers[0], Buffer.alloc(0));
  const [before] = lowers[0] === undefined ? [] : await scan(binding, lowers[0], Buffer.alloc(0));
  if (self !== undefined) yield { path: Buffer.alloc(0), node: self, before, replaced: false, layer: uppers[0] as HeldLayer };
  yield* walk(binding, uppers, lowers, Buffer.alloc(0));
}

async function* walk(
  binding: Binding,
  uppers: readonly HeldLayer[],
  lowers: readonly HeldLayer[],
  path: Buffer,
): AsyncGenerator<UpperEntry> {
  const ours = await stack(binding, uppers, path);
  if (ours.size === 0) return;
  const theirs = await stack(binding, lowers, path);
  for (const [key, own] of [...ours].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const found = theirs.get(key);
    const old = found === undefined || isWhiteout(found.node) ? undefined : found;
    const at = join(path, own.node.name);
    const gone = isWhiteout(own.node);
    // A whiteout of what never was says nothing.
    if (gone && old === undefined) continue;
    const replaced = !gone && isDirectory(own.node) && own.ends && old !== undefined && isDirectory(old.node);
    yield { path: at, node: gone ? undefined : own.node, before: old?.node, replaced, layer: own.layer };
    if (!gone && isDirectory(own.node)) yield* walk(binding, own.below, own.ends ? [] : (old?.below ?? []), at);
  }
}
