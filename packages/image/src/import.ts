// Where the files of a new image come from: a folder, a tar file as `docker export` writes it, or a stream.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { readBatches } from './store/blobs.js';
import { type DirectoryOptions, packDirectory } from './tar/pack-directory.js';
import { decompress } from './unpack/decompress.js';

/**
 * Reads a folder as an uncompressed tar stream; `packDirectory` of `@ctr/overlayfs` fits.
 *
 * @param directory - Absolute path.
 */
export type DirectoryPacker = (directory: string, options: DirectoryOptions) => AsyncIterable<Uint8Array>;

/** The tar stream of what is imported, uncompressed. */
export async function importedTar(
  source: string | AsyncIterable<Uint8Array>,
  options: DirectoryOptions,
  pack: DirectoryPacker = packDirectory,
): Promise<AsyncIterable<Uint8Array>> {
  if (typeof source !== 'string') return decompress(source);
  try {
    const found = await stat(source);
    if (found.isDirectory()) return pack(path.resolve(source), options);
    if (found.isFile()) return decompress(flat(readBatches(source)));
  } catch (error) {
    throw syscallErrorFrom(error, 'open what is to be imported');
  }
  throw new InvalidArgumentError('source', 'a folder, a tar file or a stream', source);
}

async function* flat(batches: AsyncIterable<Uint8Array[]>): AsyncGenerator<Uint8Array> {
  for await (const batch of batches) yield* batch;
}
