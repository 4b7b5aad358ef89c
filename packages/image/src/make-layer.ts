// Turns a tar stream into a layer of the store.
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { UnsupportedError } from '@ctr/internal/errors';
import { abortOr, throwIfAborted } from './abort.js';
import type { StoreContext } from './context.js';
import { type Digest, Digester, parseDigest } from './digest.js';
import { OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD } from './document/media-types.js';
import type { Reference } from './reference.js';
import { BlobWriter, hasBlob } from './store/blobs.js';
import { storeError } from './store/files.js';
import { LayerTarget } from './store/layer-trees.js';
import type { Lease } from './store/leases.js';
import type { LayerSink } from './unpack/layer-sink.js';

export type LayerCompression = 'gzip' | 'zstd' | 'none';

const MEDIA_TYPES: Record<LayerCompression, string> = { none: OCI_LAYER, gzip: OCI_LAYER_GZIP, zstd: OCI_LAYER_ZSTD };

/** What a {@link LayerCompressor} makes: the bytes of the blob, and then what the archive was. */
export interface CompressedLayer extends AsyncIterable<Uint8Array> {
  /** Asked when the last byte was read. The digest of the blob is computed here all the same. */
  facts(): { readonly diffId: string };
}

/** Makes a layer's blob of its archive, by gzip; `gzipLayer` of `@ctr/overlayfs` fits. It returns from the source when it is returned from. */
export type LayerCompressor = (tar: AsyncIterable<Uint8Array>) => CompressedLayer;

/** What making a layer needs to know. */
export interface LayerMaking {
  context: StoreContext;
  reference: Reference;
  compression: LayerCompression;
  /** In place of our own gzip. */
  compressor: LayerCompressor | undefined;
  sink: LayerSink | undefined;
  signal: AbortSignal;
}

export interface MadeLayer {
  mediaType: string;
  digest: Digest;
  size: number;
  diffId: Digest;
}

/** One pass over the tar: hashed, compressed, hashed again, written, and unpacked on the side when a sink is given. */
export async function makeLayer(work: LayerMaking, tar: AsyncIterable<Uint8Array>, lease: Lease): Promise<MadeLayer> {
  const { layout } = work.context;
  const blob = await BlobWriter.create(layout);
  const packed = new Digester();
  let target: LayerTarget | undefined;
  try {
    target = work.sink && (await LayerTarget.open(layout, work.sink));
    const compressed = compressedLayer(work, tar, target?.intake.writer);
    for await (const chunk of compressed) {
      packed.update(chunk);
      await blob.write([chunk]);
    }
    await target?.end();
    const diffId = parseDigest(compressed.facts().diffId, 'diffId of the compressor');
    const layer = { mediaType: MEDIA_TYPES[work.compression], digest: packed.digest(), size: packed.bytes, diffId };
    await lease.add({ blobs: [layer.digest], layers: [layer.diffId] });
    if (await hasBlob(layout, layer.digest, layer.size)) await blob.abort();
    else await blob.publish(layer.digest);
    await target?.publish(layer.diffId);
    return layer;
  } catch (error) {
    await target?.abort().catch(() => undefined);
    await blob.abort();
    throw storeError(abortOr(error, work.signal, `create ${work.reference.name}`), `create ${work.reference.name}`);
  }
}

type Writer = { write(chunk: Uint8Array): Promise<void> } | undefined;

function compressedLayer(work: LayerMaking, tar: AsyncIterable<Uint8Array>, writer: Writer): CompressedLayer {
  const { compression, compressor, signal } = work;
  if (compressor !== undefined && compression === 'gzip') return compressor(tee(tar, undefined, writer, signal));
  const diff = new Digester();
  const stream = compress(tee(tar, diff, writer, signal), compression);
  return { [Symbol.asyncIterator]: () => stream, facts: () => ({ diffId: diff.digest() }) };
}

async function* tee(
  tar: AsyncIterable<Uint8Array>,
  diff: Digester | undefined,
  writer: Writer,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of tar) {
    throwIfAborted(signal, 'create an image');
    diff?.update(chunk);
    await writer?.write(chunk);
    yield chunk;
  }
}

type Compressor = (options: { chunkSize: number }) => zlib.Gzip;
const createZstd = (zlib as { createZstdCompress?: Compressor }).createZstdCompress;

/** Refuses what this Node cannot do before anything is read. */
export function checkCompression(compression: LayerCompression): void {
  if (compression === 'zstd' && createZstd === undefined)
    throw new UnsupportedError('compressing layers with zstd', 'Node 22.15 or newer', process.version, { hint: 'use compression: "gzip"' });
}

/** gzip at level 1: a third of the time of the default level for a tenth more bytes. node:zlib writes no time into the header. */
async function* compress(source: AsyncGenerator<Uint8Array>, compression: LayerCompression): AsyncGenerator<Uint8Array> {
  if (compression === 'none') return yield* source;
  const chunkSize = 256 * 1024;
  const packer = compression === 'zstd' && createZstd !== undefined ? createZstd({ chunkSize }) : zlib.createGzip({ level: 1, chunkSize });
  const input = Readable.from(source, { objectMode: true, highWaterMark: 2 });
  input.on('error', (error) => packer.destroy(error));
  input.pipe(packer);
  try {
    for await (const chunk of packer) yield chunk as Uint8Array;
  } finally {
    input.destroy();
    packer.destroy();
  }
}
