// Directories that a layer's archive has entries in but none for: their owners and modes are those of the layers below. A
// layer is unpacked once for many images, so this is settled when layers are put together.
import { closeSync, constants, openSync } from 'node:fs';
import { assertLinux, InvalidArgumentError, SyscallError, syscallErrorFrom } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkObject, checkPath } from './check-options.js';
import { errorOf } from './layer-error.js';
import { openLayerWriter } from './layer-writer.js';
import { native, type ScannedEntry } from './native.js';
import { pathOf, type RootFacts } from './overlay-options.js';
import { memorySteps } from './overlay-parts.js';
import { runSteps } from './run-steps.js';
import { END, tarHeader } from './tar-header.js';
import { isDirectory, isOpaque, marked } from './upper-walk.js';

/** What {@link describeParents} found. */
export interface Parents {
  /** Of the root directory: the topmost layer's that describes it. */
  readonly root: Required<{ [K in keyof RootFacts]: number }>;
  /** Directories whose facts the stack would show wrongly, each after those above it. */
  readonly directories: readonly ParentFacts[];
}

/** What a directory should look like. */
export interface ParentFacts {
  /** Relative to the root, as bytes. */
  readonly path: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** Extended attributes that a layer keeps, `user.*` that is; `undefined`: none. */
  readonly xattrs?: Readonly<Record<string, Buffer>>;
}

const SLOT = 'parents';
const EMPTY = Buffer.alloc(0);
const slash = Buffer.from('/');

/** The directory in one layer: its inode, `null` when something else is there, `undefined` when nothing is. */
async function directoryIn(fd: number, path: Buffer): Promise<ScannedEntry | null | undefined> {
  try {
    return (await native().scanDirectory(fd, path))[0];
  } catch (e) {
    const error = errorOf(e, 'look for a directory in a layer');
    if (error instanceof SyscallError && error.code === 'ENOENT') return undefined;
    if (error instanceof SyscallError && (error.code === 'ENOTDIR' || error.code === 'ELOOP')) return null;
    throw error;
  }
}

const isImplicit = (e: ScannedEntry): boolean => marked(e, 'ctr-implicit');

/** The inodes that overlayfs merges into one directory, top first. */
async function merged(fds: readonly number[], path: Buffer): Promise<ScannedEntry[]> {
  const parts = path.length === 0 ? [] : path.toString('latin1').split('/');
  let active = [...fds];
  let found: ScannedEntry[] = [];
  for (let depth = 0; depth <= parts.length; depth++) {
    const at = Buffer.from(parts.slice(0, depth).join('/'), 'latin1');
    const next: number[] = [];
    found = [];
    for (const fd of active) {
      const node = await directoryIn(fd, at);
      if (node === null) break;
      if (node === undefined) continue;
      next.push(fd);
      found.push(node);
      if (depth > 0 && isOpaque(node)) break;
    }
    active = next;
  }
  return found;
}

/** Every directory of one layer that its archive does not describe. */
async function implicitIn(fd: number): Promise<Buffer[]> {
  const found: Buffer[] = [];
  const pending: Buffer[] = [EMPTY];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const [self, ...entries] = await native().scanDirectory(fd, at);
    if (self !== undefined && at.length > 0 && isImplicit(self)) found.push(at);
    for (const e of entries) if (isDirectory(e)) pending.push(at.length === 0 ? e.name : Buffer.concat([at, slash, e.name]));
  }
  return found;
}

/** overlayfs's own marks, and ours, stay with the inode that has them. */
function xattrsOf({ xattrs }: ScannedEntry): { xattrs?: Readonly<Record<string, Buffer>> } {
  const kept = Object.entries(xattrs).filter(([name]) => name.startsWith('user.') && !name.startsWith('user.overlay.'));
  return kept.length === 0 ? {} : { xattrs: Object.fromEntries(kept) };
}

const factsOf = (e: ScannedEntry, path: Buffer): ParentFacts => ({
  path,
  mode: e.mode & 0o7777,
  uid: e.uid,
  gid: e.gid,
  mtime: e.mtime,
  ...xattrsOf(e),
});

/** The facts that a merged directory should have: those of its topmost layer that describes it. */
const described = (nodes: readonly ScannedEntry[]): ScannedEntry | undefined => nodes.find((node) => !isImplicit(node)) ?? nodes[0];

function withAbove(paths: readonly Buffer[]): Buffer[] {
  const all = new Set<string>();
  for (const path of paths) {
    const parts = path.toString('latin1').split('/');
    for (let n = 1; n <= parts.length; n++) all.add(parts.slice(0, n).join('/'));
  }
  return [...all].sort().map((name) => Buffer.from(name, 'latin1'));
}

/**
 * Finds out how the root of a stack of layers should look, and which directories the stack would show with wrong owners and
 * modes, because the archive of an upper layer left them out: such a layer has them with mode 0755 and root's, and hides what
 * the layers below say. {@link mountParents} or {@link writeParents} set that right.
 *
 * @remarks Reads one inode of each layer, and whole layers only where the layer writer noted that something was left out.
 * @param lower - As {@link OverlayOptions.lower}, of layers that `openLayerWriter` wrote.
 * @throws {SyscallError} with the errno's name as code, such as ENOENT.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the argument is wrong.
 * @example
 * ```ts
 * const { root } = await describeParents(lower)
 * using merged = await mountOverlay({ lower, root })
 * ```
 */
export async function describeParents(lower: readonly (string | Fd)[]): Promise<Parents> {
  if (!Array.isArray(lower) || lower.length === 0) throw new InvalidArgumentError('lower', 'an array of at least one layer', lower);
  for (const [i, layer] of lower.entries()) if (!Fd.is(layer)) checkPath(layer, `lower[${i}]`);
  assertLinux('looking at layers');
  const fds: number[] = [];
  try {
    for (const layer of lower) fds.push(openLayer(Fd.is(layer) ? pathOf(layer) : layer));
    return await describeHeld(fds);
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

function openLayer(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  } catch (e) {
    throw syscallErrorFrom(e, 'open a layer');
  }
}

async function describeHeld(fds: readonly number[]): Promise<Parents> {
  const roots = await merged(fds, EMPTY);
  const { mode = 0o755, uid = 0, gid = 0 } = described(roots) ?? {};
  const paths: Buffer[] = [];
  for (const [i, fd] of fds.entries()) {
    const node = roots[i];
    if (i < fds.length - 1 && node !== undefined && marked(node, 'ctr-implicit-below')) paths.push(...(await implicitIn(fd)));
  }
  const wrong: Buffer[] = [];
  for (const path of paths) {
    const nodes = await merged(fds, path);
    if (nodes[0] !== undefined && isImplicit(nodes[0]) && described(nodes) !== nodes[0]) wrong.push(path);
  }
  const directories: ParentFacts[] = [];
  for (const path of withAbove(wrong)) {
    const node = described(await merged(fds, path));
    if (node !== undefined) directories.push(factsOf(node, path));
  }
  return { root: { mode: mode & 0o7777, uid, gid }, directories };
}

/** The layer as an archive: the directories, each after the one that it is in. */
function archiveOf({ root, directories }: Parents): Buffer {
  const entry = (d: ParentFacts, name: Buffer): Buffer => tarHeader({ ...d, type: '5', path: name, size: 0, mtimeNs: 0 });
  const headers = directories.map((d) => entry(d, Buffer.concat([d.path, slash])));
  return Buffer.concat([entry({ ...root, path: EMPTY, mtime: 0 }, Buffer.from('./')), ...headers, END]);
}

/**
 * Makes the layer that belongs on top of a stack for which {@link describeParents} found directories: a directory of the disk with nothing but
 * them, each as it should look. Remove it by {@link removeTree} when the overlay is gone.
 *
 * @param directory - As for {@link openLayerWriter}; on the file system of the other layers, say.
 * @param options.userxattr - As for the other layers.
 * @throws as {@link openLayerWriter}.
 * @example
 * ```ts
 * const parents = await describeParents(lower)
 * await writeParents('/var/lib/my-tool/parents', parents, { userxattr: true })
 * const root = describeOverlay({ lower: ['/var/lib/my-tool/parents', ...lower], root: parents.root, userxattr: true })
 * ```
 */
export async function writeParents(directory: string, parents: Parents, options: { userxattr: boolean }): Promise<void> {
  checkObject(options, 'options', ['userxattr']);
  await using writer = openLayerWriter(directory, { userxattr: options.userxattr, sync: false });
  await writer.write(archiveOf(parents));
  await writer.end();
}

/**
 * The same in memory: a detached tmpfs. Close it when the overlay is mounted.
 *
 * @remarks CAP_SYS_ADMIN, as {@link mountOverlay}; Linux 6.6 for extended attributes.
 * @throws {SyscallError} with the errno's name as code, such as EPERM.
 * @example
 * ```ts
 * const parents = await describeParents(lower)
 * using top = await mountParents(parents)
 * using merged = await mountOverlay({ lower: [top, ...lower], root: parents.root })
 * ```
 */
export async function mountParents(parents: Parents): Promise<Fd> {
  assertLinux('mounting a layer');
  const fd = await runSteps(native(), memorySteps(undefined, SLOT), SLOT);
  try {
    await writeParents(`/proc/self/fd/${fd.fd}/.`, parents, { userxattr: false });
    return fd;
  } catch (e) {
    fd.close();
    throw e;
  }
}
