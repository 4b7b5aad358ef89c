// Writes tar archives: ustar, with PAX headers for what ustar cannot say. The same entries give the same bytes.
import { type FileHandle, open } from 'node:fs/promises';
import { InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { encodeHeader, paxRecords, typeFlags } from './header.js';
import type { SmallFile } from './read-small.js';

/** What all entries have. */
export interface TarEntryBase {
  /** Path in the archive, relative, without `..`; a leading `/` or `./` is dropped. */
  path: string;
  /** Permission bits, such as 0o644. Default 0o755 for directories, 0o777 for symlinks, 0o644 for files. */
  mode?: number;
  /** Owner. Default 0. */
  uid?: number;
  /** Group. Default 0. */
  gid?: number;
  /** Seconds since 1970. Default 0, so that archives come out the same. */
  mtime?: number;
}

/** One entry of an archive to write. */
export type TarEntry =
  | (TarEntryBase & { type: 'file'; content: string | Uint8Array })
  | (TarEntryBase & {
      type: 'file';
      /** A regular file of the host that is streamed in; its permissions are taken when `mode` is absent. */
      source: string;
    })
  | (TarEntryBase & { type: 'directory' | 'fifo' })
  | (TarEntryBase & { type: 'character' | 'block'; major: number; minor: number })
  | (TarEntryBase & { type: 'symlink'; target: string })
  | (TarEntryBase & {
      type: 'hardlink';
      /** Path in the archive of an earlier file. */
      target: string;
    });

/** @internal An entry whose content is being read already, where it turns out to be small. */
export type BegunEntry = TarEntry & { begun?: Promise<SmallFile | undefined> };

const BLOCK = 512;
const BATCH = 256 * 1024;

/**
 * Packs entries into a tar stream, in their order, in chunks of about 256 KiB.
 *
 * Parents are not added: give directories that should exist with certain permissions as entries of their own.
 *
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an entry that cannot be written.
 * @throws {SyscallError} when a `source` cannot be read; `code` is the errno's name.
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html
 * @example
 * ```ts
 * const layer = packTar([{ type: 'directory', path: 'bin' }, { type: 'file', path: 'bin/hello', source: './hello', mode: 0o755 }])
 * ```
 */
export async function* packTar(entries: Iterable<TarEntry> | AsyncIterable<TarEntry>): AsyncGenerator<Uint8Array> {
  let batch: Uint8Array[] = [];
  let bytes = 0;
  let index = 0;
  for await (const entry of entries) {
    for await (const piece of encodeEntry(entry, `entries[${index++}]`)) {
      batch.push(piece);
      bytes += piece.length;
      if (bytes < BATCH) continue;
      yield Buffer.concat(batch, bytes);
      batch = [];
      bytes = 0;
    }
  }
  yield Buffer.concat([...batch, new Uint8Array(2 * BLOCK)]);
}

async function* encodeEntry(entry: BegunEntry, where: string): AsyncGenerator<Uint8Array> {
  if (entry?.type === 'file' && 'source' in entry) return yield* encodeHostFile(entry, where);
  const content = entry?.type === 'file' ? Buffer.from(entry.content as Uint8Array) : new Uint8Array(0);
  yield headerOf(entry, content.length, where);
  yield content;
  yield padding(content.length);
}

const padding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

async function* encodeHostFile(entry: Extract<BegunEntry, { source: string }>, where: string): AsyncGenerator<Uint8Array> {
  let handle: FileHandle | undefined;
  try {
    const small = await entry.begun;
    if (small !== undefined) {
      yield headerOf({ mode: small.mode, ...entry }, small.content.length, where);
      yield small.content;
      yield padding(small.content.length);
      return;
    }
    handle = await open(entry.source, 'r');
    const stat = await handle.stat();
    if (!stat.isFile()) throw new InvalidArgumentError(`${where}.source`, 'a regular file', entry.source);
    yield headerOf({ mode: stat.mode & 0o7777, ...entry }, stat.size, where);
    yield* readExactly(handle, stat.size, entry.source);
    yield padding(stat.size);
  } catch (error) {
    throw syscallErrorFrom(error, `read ${entry.source} into an archive`);
  } finally {
    await handle?.close();
  }
}

/** The header has promised a size: a file that shrinks meanwhile is an error, one that grows is cut. */
async function* readExactly(handle: FileHandle, size: number, source: string): AsyncGenerator<Uint8Array> {
  for (let offset = 0; offset < size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(BATCH, size - offset));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, offset);
    if (bytesRead === 0)
      throw new InvalidArgumentError('source', `a file that does not shrink while it is read: ${source}`, `${offset} of ${size} bytes`);
    offset += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

const DEFAULT_MODE = { file: 0o644, directory: 0o755, symlink: 0o777, hardlink: 0o644, fifo: 0o644, character: 0o644, block: 0o644 };

function headerOf(entry: TarEntry, size: number, where: string): Uint8Array {
  const type = typeFlags[entry?.type];
  if (type === undefined)
    throw new InvalidArgumentError(`${where}.type`, 'file, directory, symlink, hardlink, fifo, character or block', entry?.type);
  const path = cleanPath(entry.path, `${where}.path`) + (entry.type === 'directory' ? '/' : '');
  const target = 'target' in entry ? cleanTarget(entry, where) : '';
  const { mode = DEFAULT_MODE[entry.type], uid = 0, gid = 0, mtime = 0 } = entry;
  for (const [name, value, max] of [
    ['mode', mode, 0o7777],
    ['uid', uid, 2 ** 32 - 2],
    ['gid', gid, 2 ** 32 - 2],
    ['mtime', mtime, 2 ** 40],
  ] as const)
    if (!Number.isSafeInteger(value) || value < 0 || value > max)
      throw new InvalidArgumentError(`${where}.${name}`, `a whole number from 0 to ${max}`, value);
  const device = entry.type === 'character' || entry.type === 'block' ? deviceOf(entry, where) : {};
  const facts = { path, target, type, mode, uid, gid, mtime, size, ...device };
  return Buffer.concat([paxRecords(facts), encodeHeader(facts)]);
}

function deviceOf({ major, minor }: { major: number; minor: number }, where: string): { major: number; minor: number } {
  for (const [name, value] of Object.entries({ major, minor }))
    if (!Number.isSafeInteger(value) || value < 0 || value > 0o7777777)
      throw new InvalidArgumentError(`${where}.${name}`, 'a device number from 0 to 2097151', value);
  return { major, minor };
}

function cleanPath(path: string, where: string): string {
  const parts = typeof path === 'string' ? path.split('/').filter((part) => part !== '' && part !== '.') : [];
  const wrong = typeof path !== 'string' || path === '' || path.includes('\0') || parts.includes('..') || Buffer.byteLength(path) > 4096;
  if (wrong) throw new InvalidArgumentError(where, 'a path of at most 4096 bytes without ".." and NUL', path);
  return parts.length === 0 ? '.' : parts.join('/');
}

function cleanTarget(entry: Extract<TarEntry, { target: string }>, where: string): string {
  if (entry.type === 'hardlink') return cleanPath(entry.target, `${where}.target`);
  const { target } = entry;
  if (typeof target !== 'string' || target === '' || target.includes('\0') || Buffer.byteLength(target) > 4096)
    throw new InvalidArgumentError(`${where}.target`, 'a link target of 1 to 4096 bytes without NUL', target);
  return target;
}
