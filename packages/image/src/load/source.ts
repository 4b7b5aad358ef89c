// Files of a saved image, whether they lie in a directory or in an archive.
import { type FileHandle, open, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { ImageError, syscallErrorFrom } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import { readBatches } from '../store/blobs.js';
import { isMissing, openRegular, storeError } from '../store/files.js';
import type { Layout } from '../store/layout.js';
import { ArchiveIndex, readAt } from '../tar/index-archive.js';
import { decompress, sniffCompression } from '../unpack/decompress.js';

/** Reads named files. Names are built from checked digests, or looked up in an archive's list: none leads elsewhere. */
export interface FileSource {
  /** Size of a regular file; undefined when it is not there. */
  size(name: string): Promise<number | undefined>;
  /** A small file as a whole; undefined when it is not there. */
  read(name: string, maxBytes: number): Promise<Buffer | undefined>;
  /** A file in batches. */
  stream(name: string): AsyncIterable<Uint8Array[]>;
  close(): Promise<void>;
}

const tooLong = (name: string, max: number): ImageError =>
  new ImageError('CTR_IMAGE_LIMIT', `${JSON.stringify(name.slice(0, 100))} is longer than ${max} bytes`);
const absent = (name: string): ImageError =>
  new ImageError('CTR_IMAGE_NOT_FOUND', `${JSON.stringify(name.slice(0, 100))} is not in the saved image`);

/** Opens a directory or a tar file; a compressed archive is unpacked into the store's temporary directory first. */
export async function openSource(file: string, layout: Layout, maxBytes: number, signal: AbortSignal): Promise<FileSource> {
  try {
    if ((await stat(file)).isDirectory()) return directorySource(file);
    return await archiveSource(file, layout, maxBytes, signal);
  } catch (error) {
    throw syscallErrorFrom(error, 'open the saved image');
  }
}

function directorySource(root: string): FileSource {
  const open = async (name: string): Promise<{ handle: FileHandle; size: number } | undefined> => {
    try {
      return await openRegular(path.join(root, name));
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw syscallErrorFrom(error, 'read the saved image');
    }
  };
  return {
    async size(name) {
      const found = await open(name);
      await found?.handle.close();
      return found?.size;
    },
    async read(name, maxBytes) {
      const found = await open(name);
      if (found === undefined) return undefined;
      try {
        if (found.size > maxBytes) throw tooLong(name, maxBytes);
        return await found.handle.readFile();
      } finally {
        await found.handle.close();
      }
    },
    stream: (name) => readBatches(path.join(root, name)),
    close: async () => undefined,
  };
}

async function archiveSource(file: string, layout: Layout, maxBytes: number, signal: AbortSignal): Promise<FileSource> {
  const given = await openRegular(file);
  const head = await readAt(given.handle, 0, Math.min(4, given.size));
  const packed = sniffCompression(head) !== 'none';
  if (!packed) return indexed(file, given, async () => undefined);
  await given.handle.close();
  const plain = await inflate(file, layout, maxBytes, signal);
  return indexed(plain, await openRegular(plain), () => unlink(plain));
}

async function indexed(
  file: string,
  { handle, size }: { handle: FileHandle; size: number },
  cleanup: () => Promise<void>,
): Promise<FileSource> {
  const close = async (): Promise<void> => {
    await handle.close();
    await cleanup();
  };
  const index = await ArchiveIndex.read(handle, size).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  return {
    size: async (name) => index.find(name)?.size,
    async read(name, maxBytes) {
      const member = index.find(name);
      if (member !== undefined && member.size > maxBytes) throw tooLong(name, maxBytes);
      return member && readAt(handle, member.offset, member.size);
    },
    stream(name) {
      const member = index.find(name);
      if (member === undefined) throw absent(name);
      return readBatches(file, { start: member.offset, length: member.size });
    },
    close,
  };
}

/** Members of an archive are read in another order than they lie in it, which a compressed stream does not allow. */
async function inflate(file: string, layout: Layout, maxBytes: number, signal: AbortSignal): Promise<string> {
  const temp = layout.tempName('archive');
  const handle = await open(temp, 'wx', 0o600);
  let bytes = 0;
  try {
    for await (const chunk of decompress(chunksOf(file))) {
      throwIfAborted(signal, 'load a saved image');
      bytes += chunk.length;
      if (bytes > maxBytes) throw new ImageError('CTR_IMAGE_LIMIT', `the archive unpacks to more than ${maxBytes} bytes`);
      await handle.writeFile(chunk);
    }
    await handle.close();
    return temp;
  } catch (error) {
    await handle.close();
    await unlink(temp);
    throw storeError(error, 'unpack the archive into the image store');
  }
}

async function* chunksOf(file: string): AsyncGenerator<Uint8Array> {
  for await (const batch of readBatches(file)) yield* batch;
}
