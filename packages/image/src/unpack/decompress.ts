// Finds out how a layer is compressed, and undoes it.
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { ImageError } from '@ctr/internal/errors';
import { zstdDecompress } from './zstd.js';

export type Compression = 'gzip' | 'zstd' | 'none';

/** By the first bytes alone: one content gives one result, whatever a media type claims. */
export function sniffCompression(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip';
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return 'zstd';
  // A skippable zstd frame: 0x184D2A50 to 0x184D2A5F, little-endian.
  if (((head[0] ?? 0) & 0xf0) === 0x50 && head[1] === 0x2a && head[2] === 0x4d && head[3] === 0x18) return 'zstd';
  return 'none';
}

/** Uncompressed bytes of a layer in chunks of about 256 KiB. */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const { head, whole } = await peek(source);
  const compression = sniffCompression(head);
  if (compression === 'zstd') yield* zstdDecompress(whole);
  else if (compression === 'gzip') yield* gunzip(whole);
  else yield* whole;
}

/** Looks at the first four bytes and gives the stream back whole. */
async function peek(source: AsyncIterable<Uint8Array>): Promise<{ head: Uint8Array; whole: AsyncGenerator<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]();
  const first: Uint8Array[] = [];
  let bytes = 0;
  while (bytes < 4) {
    const next = await iterator.next();
    if (next.done) break;
    first.push(next.value);
    bytes += next.value.length;
  }
  async function* whole(): AsyncGenerator<Uint8Array> {
    try {
      yield* first;
      for (let next = await iterator.next(); !next.done; next = await iterator.next()) yield next.value;
    } finally {
      await iterator.return?.();
    }
  }
  return { head: Buffer.concat(first).subarray(0, 4), whole: whole() };
}

type StreamOptions = zlib.ZlibOptions & { readableHighWaterMark: number; writableHighWaterMark: number };

/** node:zlib inflates on a thread of the pool; the next piece is made while this one is written. */
async function* gunzip(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const options: StreamOptions = { chunkSize: 256 * 1024, readableHighWaterMark: 1024 * 1024, writableHighWaterMark: 1024 * 1024 };
  const inflate = zlib.createGunzip(options);
  const input = Readable.from(source, { objectMode: true, highWaterMark: 2 });
  input.on('error', (error) => inflate.destroy(error));
  input.pipe(inflate);
  try {
    for await (const chunk of inflate) yield chunk as Uint8Array;
  } catch (error) {
    throw badGzip(error);
  } finally {
    input.destroy();
    inflate.destroy();
  }
}

function badGzip(error: unknown): unknown {
  const code = (error as { code?: string }).code ?? '';
  if (!code.startsWith('Z_')) return error;
  return new ImageError('CTR_IMAGE_INVALID', `the gzip data of the layer is damaged: ${(error as Error).message}`, undefined, {
    cause: error,
  });
}
