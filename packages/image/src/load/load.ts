// Loads saved images into the store: an OCI layout as a directory or tar file, or what `docker save` writes.
import path from 'node:path';
import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import type { StoreContext } from '../context.js';
import { type Digest, digestOf, splitDigest } from '../digest.js';
import { Json } from '../document/json.js';
import { type Descriptor, readDescriptor } from '../document/manifest.js';
import { type Image, resolveImage, verifyBytes } from '../image.js';
import { MAX_MANIFEST_BYTES } from '../limits.js';
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
  for (const entry of entries) images.push(await loadEntry(work, source, entry, entries.length, lease));
  return images;
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
  await index.set(name, entry);
  return image;
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
