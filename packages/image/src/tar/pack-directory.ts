// Turns a folder of the host into the entries of an archive.
import type { Stats } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import path from 'node:path';
import { InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { lookAhead } from './look-ahead.js';
import { type BegunEntry, packTar, type TarEntry } from './pack.js';
import { readSmallFile } from './read-small.js';

/** How a folder is taken over. */
export interface DirectoryOptions {
  /** Owner of everything; `undefined` keeps the owners. */
  owner?: { uid: number; gid: number } | undefined;
  /** Time of everything, seconds since 1970; `undefined` keeps the times. */
  mtime?: number | undefined;
}

/**
 * The entries of a folder for `packTar`: names in the order of their bytes, parents first, hard links as links, devices and FIFOs as
 * such. Sockets are left out. Node cannot read extended attributes, so those, and with them file capabilities, are not taken over:
 * `packDirectory` of `@ctr/overlayfs` does that.
 *
 * @throws {SyscallError} when something cannot be read.
 * @example
 * ```ts
 * await store.create({ reference: 'localhost/site', layers: [packTar(directoryEntries('./public', { owner: { uid: 0, gid: 0 } }))] })
 * ```
 */
export async function* directoryEntries(directory: string, options: DirectoryOptions = {}): AsyncGenerator<TarEntry> {
  const links = new Map<string, string>();
  try {
    yield* walk(directory, '', options, links);
  } catch (error) {
    throw syscallErrorFrom(error, `read the folder ${directory}`);
  }
}

/** Files in the kernel at once: a turn through the pool costs little, waiting for one after the other 0.3 ms for each. */
const FILES_AHEAD = 32;
const STATS_AHEAD = 32;

/** A folder as a tar stream; small files are read ahead. */
export function packDirectory(directory: string, options: DirectoryOptions = {}): AsyncGenerator<Uint8Array> {
  return packTar(lookAhead(directoryEntries(directory, options), FILES_AHEAD, begin));
}

function begin(entry: TarEntry): BegunEntry {
  if (entry.type !== 'file' || !('source' in entry)) return entry;
  const begun = readSmallFile(entry.source);
  begun.catch(() => undefined); // told in its turn
  return { ...entry, begun };
}

async function* named(directory: string, where: string): AsyncGenerator<string> {
  const names = await readdir(directory, { encoding: 'buffer' });
  for (const name of names.sort(Buffer.compare)) {
    const text = name.toString();
    if (!Buffer.from(text).equals(name)) throw new InvalidArgumentError('source', 'a folder whose names are all UTF-8', `${where}/${text}`);
    yield text;
  }
}

async function* walk(root: string, below: string, o: DirectoryOptions, links: Map<string, string>): AsyncGenerator<TarEntry> {
  const looked = lookAhead(named(path.join(root, below), below), STATS_AHEAD, (name) => {
    const stat = lstat(path.join(root, below, name));
    stat.catch(() => undefined); // told in its turn
    return { name, stat };
  });
  for await (const { name, stat: asked } of looked) {
    const relative = below === '' ? name : `${below}/${name}`;
    const source = path.join(root, relative);
    const stat = await asked;
    const entry = await entryOf(relative, source, stat, o, links);
    if (entry !== undefined) yield entry;
    if (stat.isDirectory()) yield* walk(root, relative, o, links);
  }
}

async function entryOf(
  relative: string,
  source: string,
  stat: Stats,
  o: DirectoryOptions,
  links: Map<string, string>,
): Promise<TarEntry | undefined> {
  const { uid, gid } = o.owner ?? stat;
  const base = { path: relative, mode: stat.mode & 0o7777, uid, gid, mtime: o.mtime ?? Math.max(0, Math.floor(stat.mtimeMs / 1000)) };
  if (stat.isDirectory()) return { ...base, type: 'directory' };
  if (stat.isSymbolicLink()) return { ...base, type: 'symlink', target: await readlink(source) };
  if (stat.nlink > 1) {
    const key = `${stat.dev}.${stat.ino}`;
    const first = links.get(key);
    if (first !== undefined) return { ...base, type: 'hardlink', target: first };
    links.set(key, relative);
  }
  if (stat.isFile()) return { ...base, type: 'file', source };
  if (stat.isFIFO()) return { ...base, type: 'fifo' };
  if (stat.isCharacterDevice()) return { ...base, type: 'character', ...deviceNumbers(stat.rdev) };
  if (stat.isBlockDevice()) return { ...base, type: 'block', ...deviceNumbers(stat.rdev) };
  return undefined;
}

/** makedev(3) of glibc: 12 bits of the major and 20 of the minor number, in an order of its own. */
function deviceNumbers(rdev: number): { major: number; minor: number } {
  const n = BigInt(rdev);
  return { major: Number((n >> 8n) & 0xfffn), minor: Number((n & 0xffn) | ((n >> 12n) & 0xfff00n)) };
}
