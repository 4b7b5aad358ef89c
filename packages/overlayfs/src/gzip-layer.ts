// A layer's archive into its blob on the pool: the event loop only passes pieces on.
import { ImageError } from '@ctr/internal/errors';
import { errorOf } from './layer-error.js';
import { native } from './native.js';

/** What is known of a layer once its blob is complete. */
export interface LayerFacts {
  /** Of the archive. */
  readonly diffId: string;
  /** Of the blob. */
  readonly digest: string;
  /** Bytes of the blob. */
  readonly size: number;
}

/** The blob of a layer, to be read once. */
export interface GzipLayer extends AsyncIterable<Uint8Array> {
  /** @throws {ImageError} CTR_IMAGE_INVALID before the last byte was read. */
  facts(): LayerFacts;
}

/** So much goes to the pool at once: archives come in pieces of a header's size. */
const PIECE = 256 * 1024;
const DOING = 'compress a layer';

/** The next piece is being made by the source while one is compressed. */
async function* gathered(tar: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of tar) {
    parts.push(part);
    size += part.length;
    if (size < PIECE) continue;
    yield parts.length === 1 ? part : Buffer.concat(parts, size);
    parts = [];
    size = 0;
  }
  if (size > 0) yield Buffer.concat(parts, size);
}

/**
 * Compresses a layer's archive by gzip, and computes both of its digests, on the pool: by ISA-L, where it is there, several times as fast as
 * `node:zlib` at its fastest, for a fifth more bytes. Fits the option `compressor` of `ImageStore.commit`, `create` and `import` of `@ctr/image`.
 *
 * @remarks The same archive gives the same blob by the same library; ISA-L and zlib give different ones.
 * @param tar - An uncompressed archive in any split; its pieces must stay as they are.
 * @throws {UnsupportedError} CTR_UNSUPPORTED, when it is read, on another system than Linux.
 * @throws {ImageError} CTR_IMAGE_INVALID, when it is read, by a Node that exports neither zlib nor OpenSSL.
 * @see https://github.com/intel/isa-l
 * @example
 * ```ts
 * const blob = gzipLayer(packDirectory('/srv/rootfs'))
 * await pipeline(blob, createWriteStream('layer.tar.gz'))
 * console.log(blob.facts().diffId)
 * ```
 */
export function gzipLayer(tar: AsyncIterable<Uint8Array>): GzipLayer {
  let facts: LayerFacts | undefined;
  async function* blob(): AsyncGenerator<Uint8Array> {
    const handle = new (native().GzipHandle)();
    const pieces = gathered(tar);
    let compressing: Promise<Buffer> | undefined;
    try {
      for (;;) {
        const { done, value } = await pieces.next();
        const before = compressing;
        if (before !== undefined) {
          compressing = undefined;
          const made = await before;
          // The next piece is asked for while this one is compressed.
          if (!done) compressing = handle.write(value);
          if (made.length > 0) yield made;
        } else if (!done) {
          compressing = handle.write(value);
        }
        compressing?.catch(() => undefined); // told when it is awaited
        if (done) break;
      }
      const { rest, ...found } = await handle.end();
      facts = found;
      yield rest;
    } catch (e) {
      throw errorOf(e, DOING);
    } finally {
      await compressing?.catch(() => undefined);
      await pieces.return(undefined);
    }
  }
  const stream = blob();
  return {
    [Symbol.asyncIterator]: () => stream,
    facts() {
      if (facts === undefined) throw new ImageError('CTR_IMAGE_INVALID', `${DOING}: it is not complete yet`);
      return facts;
    },
  };
}
