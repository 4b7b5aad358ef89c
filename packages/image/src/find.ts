// Finds images in the store: no network, every document verified as it is read.
import { ImageError } from '@ctr/internal/errors';
import type { StoreContext } from './context.js';
import type { Descriptor } from './document/manifest.js';
import { type Image, resolveImage } from './image.js';
import { MAX_MANIFEST_BYTES } from './limits.js';
import { formatPlatform, type Platform } from './platform.js';
import type { Reference } from './reference.js';
import { readBlob } from './store/blobs.js';

/** Images that were read before. Content has one name for ever, so an entry can only become superfluous, never wrong. */
const known = new Map<string, Image>();
const MAX_KNOWN = 256;

/** The image that a reference names for a platform; undefined when the store lacks it or a part of its description. */
export async function findImage(context: StoreContext, reference: Reference, wanted: Platform): Promise<Image | undefined> {
  const root = await context.index.find(reference.name);
  return root === undefined ? undefined : readImage(context, reference.name, root, wanted);
}

/** Reads the image behind an entry of index.json. */
export async function readImage(context: StoreContext, name: string, root: Descriptor, wanted: Platform): Promise<Image | undefined> {
  const key = JSON.stringify([context.layout.root, name, root.digest, formatPlatform(wanted)]);
  const before = known.get(key);
  if (before !== undefined) return before;
  try {
    const fetch = (what: Descriptor): Promise<Buffer | undefined> => readBlob(context.layout, what.digest, MAX_MANIFEST_BYTES);
    const image = await resolveImage(name, root, { wanted, fetch });
    if (image === undefined) return undefined;
    if (known.size >= MAX_KNOWN) known.delete(known.keys().next().value as string);
    known.set(key, image);
    return image;
  } catch (error) {
    if (error instanceof ImageError && error.code === 'CTR_IMAGE_PLATFORM') return undefined;
    throw error;
  }
}
