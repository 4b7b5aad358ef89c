// Loads what `docker save` and `skopeo copy docker-archive:` write: manifest.json, a config, and layers as tar files.
import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import { type Digest, Digester, digestOf } from '../digest.js';
import { parseImageConfig } from '../document/config.js';
import { Json } from '../document/json.js';
import type { Descriptor } from '../document/manifest.js';
import { OCI_CONFIG, OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD, OCI_MANIFEST } from '../document/media-types.js';
import { readImage } from '../find.js';
import type { Image } from '../image.js';
import { MAX_LAYERS, MAX_MANIFEST_BYTES } from '../limits.js';
import { platformError } from '../platform.js';
import { BlobWriter, digestMismatch, putBlob } from '../store/blobs.js';
import type { Lease } from '../store/leases.js';
import { type Compression, sniffCompression } from '../unpack/decompress.js';
import { type LoadWork, nameIn, slug } from './load.js';
import type { FileSource } from './source.js';

const MEDIA_TYPES: Record<Compression, string> = { none: OCI_LAYER, gzip: OCI_LAYER_GZIP, zstd: OCI_LAYER_ZSTD };

type Entry = { config: string; tags: string[]; layers: string[] };

const readEntry = (json: Json): Entry => ({
  config: json.object().get('Config').text(),
  tags: json.optional('RepoTags', (j) => j.strings(1000)) ?? [],
  layers: json.get('Layers').strings(MAX_LAYERS),
});

/** Converts each image to an OCI one: its config is kept byte-exact, its layers as they are, its manifest is made here. */
export async function loadDockerArchive(work: LoadWork, source: FileSource, manifest: Buffer, lease: Lease): Promise<Image[]> {
  const entries = Json.parse(manifest, 'manifest.json').array(1000).map(readEntry);
  const images: Image[] = [];
  for (const entry of entries) {
    const root = await convert(work, source, entry, lease);
    for (const name of namesFor(work, entry, entries.length, root.digest)) {
      const image = await readImage(work.context, name, root, work.wanted);
      if (image === undefined) throw platformError(name, work.wanted, [await platformOf(source, entry)]);
      await work.context.index.set(name, root);
      images.push(image);
    }
  }
  return images;
}

function namesFor(work: LoadWork, entry: Entry, count: number, digest: Digest): string[] {
  if (work.reference !== undefined && count === 1) return [work.reference.name];
  if (entry.tags.length > 0) return entry.tags.map((tag) => nameIn(work.file, tag));
  return [nameIn(work.file, `localhost/${slug(work.file)}@${digest}`)];
}

async function readConfig(source: FileSource, entry: Entry): Promise<Buffer> {
  const bytes = await source.read(entry.config, MAX_MANIFEST_BYTES);
  if (bytes === undefined)
    throw new ImageError('CTR_IMAGE_NOT_FOUND', `the archive lacks the config ${JSON.stringify(entry.config.slice(0, 100))}`);
  return bytes;
}

const platformOf = async (source: FileSource, entry: Entry) => parseImageConfig(await readConfig(source, entry)).platform;

async function convert(work: LoadWork, source: FileSource, entry: Entry, lease: Lease): Promise<Descriptor> {
  const { layout } = work.context;
  const bytes = await readConfig(source, entry);
  const { diffIds } = parseImageConfig(bytes, `config of ${work.file}`);
  if (diffIds.length !== entry.layers.length)
    throw new ImageError('CTR_IMAGE_INVALID', `${work.file} has ${entry.layers.length} layers, but its config names ${diffIds.length}`);
  const layers: { mediaType: string; digest: Digest; size: number }[] = [];
  for (const [i, name] of entry.layers.entries()) layers.push(await storeLayer(work, source, name, diffIds[i] as Digest, lease));
  const config = { mediaType: OCI_CONFIG, digest: digestOf(bytes), size: bytes.length };
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers }));
  await lease.add({ blobs: [config.digest, digestOf(manifest)], layers: diffIds });
  await putBlob(layout, bytes);
  return { mediaType: OCI_MANIFEST, digest: await putBlob(layout, manifest), size: manifest.length, annotations: {} };
}

/** Copies a layer and learns its digest on the way. A plain tar must be its own diffID; a compressed one is judged when it is unpacked. */
async function storeLayer(work: LoadWork, source: FileSource, name: string, diffId: Digest, lease: Lease) {
  if ((await source.size(name)) === undefined)
    throw new ImageError('CTR_IMAGE_NOT_FOUND', `the archive lacks the layer ${JSON.stringify(name.slice(0, 100))}`);
  const writer = await BlobWriter.create(work.context.layout);
  try {
    const digester = new Digester();
    let compression: Compression | undefined;
    for await (const batch of source.stream(name)) {
      throwIfAborted(work.signal, `load ${work.file}`);
      for (const chunk of batch) digester.update(chunk);
      compression ??= sniffCompression(batch[0] ?? new Uint8Array(0));
      await writer.write(batch);
    }
    const digest = digester.digest();
    if ((compression ?? 'none') === 'none' && diffId.startsWith('sha256:') && digest !== diffId)
      throw digestMismatch(`the layer ${name.slice(0, 100)} is not what the config says`, diffId, digest);
    await lease.add({ blobs: [digest] });
    await writer.publish(digest);
    return { mediaType: MEDIA_TYPES[compression ?? 'none'], digest, size: digester.bytes };
  } catch (error) {
    await writer.abort();
    throw error;
  }
}
