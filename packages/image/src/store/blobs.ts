// Blobs: written to a temporary file, verified, made durable, and only then given the name of their digest.
import { createReadStream } from 'node:fs';
import { type FileHandle, lstat, open, rename, unlink } from 'node:fs/promises';
import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import { type Digest, Digester, digestOf, splitDigest } from '../digest.js';
import { isMissing, openRegular, storeError } from './files.js';
import type { Layout } from './layout.js';

/** Read and written at once: large enough for few system calls, small enough (0.3 ms of hashing) not to hold up the event loop. */
export const CHUNK_BYTES = 512 * 1024;

/** The error for content that is not what its name says. */
export function digestMismatch(what: string, expected: Digest, found: string, cause?: Error): ImageError {
  return new ImageError(
    'CTR_IMAGE_DIGEST_MISMATCH',
    `${what}: expected ${expected}, found ${found}`,
    { digest: expected },
    {
      hint: 'the content was damaged or changed on its way; try again, and if it stays so, ask who runs the registry',
      ...(cause ? { cause } : {}),
    },
  );
}

/** A blob being written. Ends by `publish` or `abort`. */
export class BlobWriter {
  readonly #layout: Layout;
  readonly #temp: string;
  readonly #handle: FileHandle;
  #flushed = false;

  private constructor(layout: Layout, temp: string, handle: FileHandle) {
    this.#layout = layout;
    this.#temp = temp;
    this.#handle = handle;
  }

  static async create(layout: Layout): Promise<BlobWriter> {
    const temp = layout.tempName('blob');
    try {
      return new BlobWriter(layout, temp, await open(temp, 'wx', 0o600));
    } catch (error) {
      throw storeError(error, 'begin a blob in the image store');
    }
  }

  async write(chunks: Uint8Array[]): Promise<void> {
    try {
      // writev may write less than it was given when the disk fills up: the rest is tried again and then fails with its reason.
      this.#flushed = false;
      let rest = chunks;
      while (rest.length > 0) {
        const { bytesWritten } = await this.#handle.writev(rest);
        rest = skipBytes(rest, bytesWritten);
      }
    } catch (error) {
      throw storeError(error, 'write a blob to the image store');
    }
  }

  /** Everything was written: brings it to the disk, which may go on while it is still being verified. */
  async flush(): Promise<void> {
    try {
      await this.#handle.datasync();
      this.#flushed = true;
    } catch (error) {
      throw storeError(error, 'write a blob to the image store');
    }
  }

  /** Gives the content its name. The caller has verified that it has this digest. */
  async publish(digest: Digest): Promise<void> {
    try {
      if (!this.#flushed) await this.#handle.datasync();
      await this.#handle.close();
      await rename(this.#temp, this.#layout.blob(digest));
    } catch (error) {
      throw storeError(error, 'publish a blob in the image store');
    }
  }

  /** Removes what was written; harmless after `publish`. */
  async abort(): Promise<void> {
    await this.#handle.close().catch(() => undefined);
    await unlink(this.#temp).catch((error: unknown) => {
      if (!isMissing(error)) throw storeError(error, 'remove an unfinished blob');
    });
  }
}

function skipBytes(chunks: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  let i = 0;
  for (; i < chunks.length && left >= (chunks[i] as Uint8Array).length; i++) left -= (chunks[i] as Uint8Array).length;
  return left === 0 ? chunks.slice(i) : [(chunks[i] as Uint8Array).subarray(left), ...chunks.slice(i + 1)];
}

/** Stores a small blob that is in memory; returns its digest. */
export async function putBlob(layout: Layout, bytes: Uint8Array, digest: Digest = digestOf(bytes)): Promise<Digest> {
  // A copy that was changed on disk is replaced, so that pulling again heals the store.
  const known = await readBlob(layout, digest, bytes.length).catch(() => undefined);
  if (known !== undefined) return digest;
  const writer = await BlobWriter.create(layout);
  try {
    await writer.write([bytes]);
    await writer.publish(digest);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return digest;
}

/** True when the blob is there with this size. Its content is verified whenever it is read. */
export async function hasBlob(layout: Layout, digest: Digest, size: number): Promise<boolean> {
  const found = await lstat(layout.blob(digest)).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw storeError(error, 'look for a blob in the image store');
  });
  return found?.isFile() === true && found.size === size;
}

/** Reads a small blob and verifies it; undefined when it is not there. */
export async function readBlob(layout: Layout, digest: Digest, maxBytes: number): Promise<Buffer | undefined> {
  let bytes: Buffer;
  try {
    const { handle, size } = await openRegular(layout.blob(digest));
    try {
      if (size > maxBytes) throw new ImageError('CTR_IMAGE_LIMIT', `blob ${digest} is longer than ${maxBytes} bytes`, { digest });
      bytes = await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw storeError(error, 'read a blob of the image store');
  }
  const found = digestOf(bytes, splitDigest(digest).algorithm);
  if (found !== digest) throw digestMismatch('a blob of the image store was changed', digest, found);
  return bytes;
}

/** Streams a file in batches; the reader verifies what it gets. */
export async function* readBatches(file: string, range?: { start: number; length: number }): AsyncGenerator<Uint8Array[]> {
  if (range?.length === 0) return;
  const bounds = range === undefined ? {} : { start: range.start, end: range.start + range.length - 1 };
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: CHUNK_BYTES, ...bounds })) yield [chunk as Buffer];
  } catch (error) {
    throw storeError(error, 'read a layer');
  }
}

/** Copies batches into a blob, verifying size and digest on the way. */
export async function copyBlob(
  layout: Layout,
  source: AsyncIterable<Uint8Array[]>,
  digest: Digest,
  size: number,
  signal: AbortSignal,
): Promise<void> {
  const writer = await BlobWriter.create(layout);
  try {
    const digester = new Digester(splitDigest(digest).algorithm);
    for await (const batch of source) {
      throwIfAborted(signal, `copy the blob ${digest}`);
      for (const chunk of batch) digester.update(chunk);
      if (digester.bytes > size) break;
      await writer.write(batch);
    }
    const found = digester.digest();
    if (digester.bytes !== size || found !== digest) throw digestMismatch('copy a blob', digest, `${found} of ${digester.bytes} bytes`);
    await writer.publish(digest);
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
