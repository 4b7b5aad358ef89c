// Loads saved images into the store: an OCI layout as a directory or tar file, or what `docker save` writes.
import path from 'node:path';
import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import type { StoreContext } from '../context.js';
import { type Digest, digestOf, splitDigest } from '../digest.js';
import { Json } from '../document/json.js';
import { type Descriptor, parseDocument, readDescriptor } from '../document/manifest.js';
import { isForeignLayer, kindOf } from '../document/media-types.js';
import { artifactReason, type Image, resolveImage, verifyBytes } from '../image.js';
import { MAX_INDEX_DEPTH, MAX_MANIFEST_BYTES, MAX_TREE_DOCUMENTS } from '../limits.js';
import type { Settled } from '../options.js';
import { parseReference, type Reference } from '../reference.js';
import { copyBlob, hasBlob, putBlob } from '../store/blobs.js';
import { REF_NAME } from '../store/index-file.js';
import { checkLayoutVersion } from '../store/layout.js';
import { Lease } from '../store/leases.js';
import { loadDockerArchive } from './docker-archive.js';
import { type FileSource, openSource } from './source.js';

/** containerd and docker write the full name here, and only the tag into ref.name. */
export const CONTAINERD_NAME = 'io.containerd.image.name';
const MAX_IMAGES = 1000;

export interface LoadWork extends Settled {
  context: StoreContext;
  file: string;
  /** Name for an image that brings none, or for the single one of the file. */
  reference: Reference | undefined;
  /** `held`: what the file has of all platforms; `whole`: all that its indexes name; `wanted`: one platform. */
  extent: 'wanted' | 'held' | 'whole';
  onSkip(skipped: SkippedEntry): void;
}

/** An entry of a saved image's index that is no container image. */
export interface SkippedEntry {
  /** The name that the file gives it; undefined when it gives none. */
  name: string | undefined;
  digest: Digest;
  mediaType: string;
  /** Why it was passed over. */
  reason: string;
}

/** Loads what the file holds for the wanted platform; returns the images in its order. */
export async function loadImages(work: LoadWork): Promise<Image[]> {
  const lease = new Lease(work.context.layout);
  const source = await openSource(work.file, work.context.layout, work.limits.maxLayerBytes, work.signal);
  try {
    const index = await source.read('index.json', MAX_MANIFEST_BYTES);
    // What docker saves since version 25 is both: the OCI form says more.
    if (index !== undefined) return await loadLayout(work, source, index, lease);
    const manifest = await source.read('manifest.json', MAX_MANIFEST_BYTES);
    if (manifest !== undefined) return await loadDockerArchive(work, source, manifest, lease);
    throw new ImageError('CTR_IMAGE_INVALID', `${work.file} is no saved image: it has neither index.json nor manifest.json`, undefined, {
      hint: 'give an OCI image layout, an oci-archive, or a file that "docker save" wrote',
    });
  } finally {
    await source.close();
    await lease.release();
  }
}

async function loadLayout(work: LoadWork, source: FileSource, index: Buffer, lease: Lease): Promise<Image[]> {
  const version = await source.read('oci-layout', 4096);
  if (version !== undefined) checkLayoutVersion(version, 'oci-layout');
  const entries = Json.parse(index, 'index.json').object().get('manifests').array(MAX_IMAGES).map(readDescriptor);
  const images: Image[] = [];
  const artifacts = new Map<Descriptor, string>();
  for (const entry of entries) {
    const reason = await notAnImage(work, source, entry);
    if (reason !== undefined) artifacts.set(entry, reason);
  }
  const count = entries.length - artifacts.size;
  for (const entry of entries) if (!artifacts.has(entry)) images.push(await loadEntry(work, source, entry, count, lease));
  if (count === 0 && artifacts.size > 0)
    throw new ImageError('CTR_IMAGE_INVALID', `${work.file} holds no container image: ${[...artifacts.values()][0]}`);
  for (const [{ digest, mediaType, annotations }, reason] of artifacts)
    work.onSkip({ name: annotations[CONTAINERD_NAME] ?? annotations[REF_NAME], digest, mediaType, reason });
  return images;
}

/** Why an entry is something else than an image, such as a signature or a chart that a tool has put beside it; undefined for an image. */
async function notAnImage(work: LoadWork, source: FileSource, entry: Descriptor): Promise<string | undefined> {
  const kind = kindOf(entry.mediaType);
  if (kind === undefined) return `its type is ${JSON.stringify(entry.mediaType.slice(0, 100))}`;
  if (kind !== 'manifest') return undefined;
  const bytes = await source.read(blobName(entry.digest), MAX_MANIFEST_BYTES);
  if (bytes === undefined) return undefined;
  verifyBytes(bytes, entry, `a document of ${work.file}`);
  const document = parseDocument(bytes, entry.mediaType, `a manifest of ${work.file}`);
  return document.kind === 'manifest' ? artifactReason(document)?.text : undefined;
}

async function loadEntry(work: LoadWork, source: FileSource, entry: Descriptor, count: number, lease: Lease): Promise<Image> {
  const name = work.reference !== undefined && count === 1 ? work.reference.name : nameFor(work, entry);
  const { layout, index } = work.context;
  const image = await resolveImage(name, entry, {
    wanted: work.wanted,
    fetch: async (what) => {
      throwIfAborted(work.signal, `load ${work.file}`);
      const bytes = await source.read(blobName(what.digest), MAX_MANIFEST_BYTES);
      if (bytes === undefined) return undefined;
      verifyBytes(bytes, what, `a document of ${work.file}`);
      await lease.add({ blobs: [what.digest] });
      await putBlob(layout, bytes, what.digest);
      return bytes;
    },
  });
  if (image === undefined)
    throw new ImageError('CTR_IMAGE_NOT_FOUND', `${work.file} lacks a part of the image ${name}`, { reference: name });
  await lease.add({ blobs: image.layers.map((l) => l.digest), layers: image.layers.map((l) => l.diffId) });
  for (const layer of image.layers) {
    if (await hasBlob(layout, layer.digest, layer.size)) continue;
    const file = blobName(layer.digest);
    if ((await source.size(file)) === undefined)
      throw new ImageError('CTR_IMAGE_NOT_FOUND', `${work.file} lacks the layer ${layer.digest} of ${name}`, {
        reference: name,
        digest: layer.digest,
      });
    await copyBlob(layout, source.stream(file), layer.digest, layer.size, work.signal);
  }
  if (work.extent !== 'wanted') await loadBelow(work, source, entry, name, lease);
  await index.set(name, entry);
  return image;
}

/** Everything below an entry, for other platforms and beside the images: what the file has of it, or all of it. */
async function loadBelow(work: LoadWork, source: FileSource, root: Descriptor, name: string, lease: Lease): Promise<void> {
  const { layout } = work.context;
  const seen = new Set<Digest>();
  const lacks = (what: string, digest: Digest): void => {
    if (work.extent !== 'whole') return;
    throw new ImageError(
      'CTR_IMAGE_NOT_FOUND',
      `${work.file} lacks the ${what} ${digest} of ${name}`,
      { reference: name, digest },
      { hint: 'it was saved without all of its platforms: leave allPlatforms out to load what is there' },
    );
  };
  const visit = async (descriptor: Descriptor, depth: number): Promise<void> => {
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    if (depth > MAX_INDEX_DEPTH || seen.size > MAX_TREE_DOCUMENTS)
      throw new ImageError('CTR_IMAGE_LIMIT', `image ${name} has indexes nested too deep or too many`, { reference: name });
    throwIfAborted(work.signal, `load ${work.file}`);
    const bytes = await source.read(blobName(descriptor.digest), MAX_MANIFEST_BYTES);
    if (bytes === undefined) return lacks('manifest', descriptor.digest);
    verifyBytes(bytes, descriptor, `a document of ${work.file}`);
    const document = parseDocument(bytes, descriptor.mediaType, `a manifest of ${work.file}`);
    if (document.kind === 'index') for (const entry of document.manifests) await visit(entry, depth + 1);
    else for (const blob of [document.config, ...document.layers]) await loadBlob(blob);
    await lease.add({ blobs: [descriptor.digest] });
    await putBlob(layout, bytes, descriptor.digest);
  };
  const loadBlob = async (blob: Descriptor): Promise<void> => {
    await lease.add({ blobs: [blob.digest] });
    if (await hasBlob(layout, blob.digest, blob.size)) return;
    const file = blobName(blob.digest);
    if ((await source.size(file)) !== undefined) await copyBlob(layout, source.stream(file), blob.digest, blob.size, work.signal);
    // SPEC(layer#non-distributable): such layers stay where their makers offer them.
    else if (!isForeignLayer(blob.mediaType)) lacks('blob', blob.digest);
  };
  await visit(root, 0);
}

const blobName = (digest: Digest): string => {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
};

/** The full name when one is given; a bare tag is completed by the caller's reference or by the name of the file. */
function nameFor(work: LoadWork, entry: Descriptor): string {
  const full = entry.annotations[CONTAINERD_NAME];
  const short = entry.annotations[REF_NAME];
  if (full !== undefined) return nameIn(work.file, full);
  if (short !== undefined && /[/:@]/.test(short)) return nameIn(work.file, short);
  const repository = work.reference === undefined ? `localhost/${slug(work.file)}` : work.reference.name.replace(/(:[^:/]*|@.*)$/, '');
  return nameIn(work.file, short === undefined ? `${repository}@${entry.digest}` : `${repository}:${short}`);
}

/** A name that a file brings along; a bad one is the file's fault, not the caller's. */
export function nameIn(file: string, name: string): string {
  try {
    return parseReference(name).name;
  } catch (error) {
    throw new ImageError(
      'CTR_IMAGE_INVALID',
      `${file} names an image ${JSON.stringify(name.slice(0, 100))}, which is no reference`,
      undefined,
      {
        cause: error,
        hint: 'give a name with the reference option',
      },
    );
  }
}

/** `/tmp/My Image.tar.gz` is `my-image`. */
export function slug(file: string): string {
  const base = path.basename(path.resolve(file)).replace(/\.(tar|tgz|tar\.gz|tar\.zst|oci)$/i, '');
  return (
    base
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 100) || digestOf(file).slice(7, 19)
  );
}
