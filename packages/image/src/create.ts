// Makes images: tar streams become gzip layers, and config and manifest are written around them. The same input gives the same digests.
import { Readable } from 'node:stream';
import zlib from 'node:zlib';
import { ImageError, InvalidArgumentError } from '@ctr/internal/errors';
import { abortOr, throwIfAborted } from './abort.js';
import type { StoreContext } from './context.js';
import { type Digest, Digester } from './digest.js';
import { type ImageConfig, readConfig } from './document/config.js';
import { Json } from './document/json.js';
import { OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_MANIFEST } from './document/media-types.js';
import { readImage } from './find.js';
import type { Image } from './image.js';
import type { Settled } from './options.js';
import type { Reference } from './reference.js';
import { BlobWriter, hasBlob, putBlob } from './store/blobs.js';
import { storeError } from './store/files.js';
import { LayerTarget } from './store/layer-trees.js';
import { Lease } from './store/leases.js';
import type { LayerSink } from './unpack/layer-sink.js';

export interface CreateWork extends Settled {
  context: StoreContext;
  reference: Reference;
  layers: readonly AsyncIterable<Uint8Array>[];
  config: ImageConfig;
  created: string;
  compression: 'gzip' | 'none';
  sink: LayerSink | undefined;
}

interface MadeLayer {
  mediaType: string;
  digest: Digest;
  size: number;
  diffId: Digest;
}

/** Checks a config as one that came from outside, and turns sets into the objects that the specification wants. */
export function checkConfig(config: unknown, path: string): ImageConfig {
  try {
    const given = JSON.parse(JSON.stringify(config ?? {})) as Record<string, unknown>;
    for (const key of ['Volumes', 'ExposedPorts']) if (Array.isArray(given[key])) given[key] = setOf(given[key] as string[]);
    const known = ['Env', 'Entrypoint', 'Cmd', 'User', 'WorkingDir', 'StopSignal', 'Volumes', 'ExposedPorts', 'Labels'];
    const odd = Object.keys(given).find((key) => !known.includes(key));
    if (odd !== undefined) throw new InvalidArgumentError(`${path}.${odd}`, `one of ${known.join(', ')}`, given[odd]);
    return readConfig(Json.parse(Buffer.from(JSON.stringify(given)), path));
  } catch (error) {
    if (error instanceof ImageError) throw new InvalidArgumentError(path, `an OCI image config (${error.message})`, config);
    throw error;
  }
}

const setOf = (names: readonly string[]): Record<string, object> => Object.fromEntries(names.map((name) => [name, {}]));

/** Writes an image into the store and gives it its reference. */
export async function createImage(work: CreateWork): Promise<Image> {
  const { context, reference, wanted } = work;
  const lease = new Lease(context.layout);
  try {
    const layers: MadeLayer[] = [];
    for (const tar of work.layers) layers.push(await makeLayer(work, tar, lease));
    const config = Buffer.from(JSON.stringify(configFile(work, layers)));
    const configDigest = await putLeased(context, config, lease);
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: OCI_MANIFEST,
        config: { mediaType: OCI_CONFIG, digest: configDigest, size: config.length },
        layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
      }),
    );
    const root = { mediaType: OCI_MANIFEST, digest: await putLeased(context, manifest, lease), size: manifest.length, annotations: {} };
    await context.index.set(reference.name, root);
    return (await readImage(context, reference.name, root, wanted)) as Image;
  } finally {
    await lease.release();
  }
}

async function putLeased(context: StoreContext, bytes: Buffer, lease: Lease): Promise<Digest> {
  const digester = new Digester();
  digester.update(bytes);
  const digest = digester.digest();
  await lease.add({ blobs: [digest] });
  return putBlob(context.layout, bytes, digest);
}

/** SPEC(config): fields in a fixed order, so that the digest depends on the content only. */
function configFile(work: CreateWork, layers: readonly MadeLayer[]): object {
  const { config, wanted, created } = work;
  const sets = {
    ...(config.Volumes ? { Volumes: setOf(config.Volumes) } : {}),
    ...(config.ExposedPorts ? { ExposedPorts: setOf(config.ExposedPorts) } : {}),
  };
  return {
    created,
    architecture: wanted.architecture,
    os: wanted.os,
    ...(wanted.variant ? { variant: wanted.variant } : {}),
    config: { ...config, ...sets },
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created, created_by: 'ctr' })),
  };
}

/** One pass over the tar: hashed, compressed, hashed again, written, and unpacked on the side when a sink is given. */
async function makeLayer(work: CreateWork, tar: AsyncIterable<Uint8Array>, lease: Lease): Promise<MadeLayer> {
  const { layout } = work.context;
  const blob = await BlobWriter.create(layout);
  const diff = new Digester();
  const packed = new Digester();
  let target: LayerTarget | undefined;
  try {
    target = work.sink && (await LayerTarget.open(layout, work.sink));
    for await (const chunk of compress(tee(tar, diff, target, work.signal), work.compression)) {
      packed.update(chunk);
      await blob.write([chunk]);
    }
    await target?.end();
    const mediaType = work.compression === 'gzip' ? OCI_LAYER_GZIP : OCI_LAYER;
    const layer = { mediaType, digest: packed.digest(), size: packed.bytes, diffId: diff.digest() };
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

async function* tee(
  tar: AsyncIterable<Uint8Array>,
  diff: Digester,
  writer: { write(chunk: Uint8Array): Promise<void> } | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of tar) {
    throwIfAborted(signal, 'create an image');
    diff.update(chunk);
    await writer?.write(chunk);
    yield chunk;
  }
}

/** Level 1: a third of the time of the default level for a tenth more bytes. node:zlib writes no time into the header. */
async function* compress(source: AsyncGenerator<Uint8Array>, compression: 'gzip' | 'none'): AsyncGenerator<Uint8Array> {
  if (compression === 'none') return yield* source;
  const gzip = zlib.createGzip({ level: 1, chunkSize: 256 * 1024 });
  const input = Readable.from(source, { objectMode: true, highWaterMark: 2 });
  input.on('error', (error) => gzip.destroy(error));
  input.pipe(gzip);
  try {
    for await (const chunk of gzip) yield chunk as Uint8Array;
  } finally {
    input.destroy();
    gzip.destroy();
  }
}
