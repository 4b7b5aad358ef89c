// An image as it lies in the store, and the walk from a reference to it: index, manifest, config, each verified.
import { ImageError } from '@ctr/internal/errors';
import { type Digest, digestOf, splitDigest } from './digest.js';
import { type ImageConfig, type ImageConfigFile, parseImageConfig } from './document/config.js';
import { type Descriptor, type Index, type IndexEntry, type Manifest, parseDocument } from './document/manifest.js';
import { isImageConfig, isTarLayer, kindOf } from './document/media-types.js';
import { MAX_DOCUMENTS, MAX_INDEX_DEPTH } from './limits.js';
import { formatPlatform, type Platform, platformError, platformRank, selectPlatform } from './platform.js';
import { digestMismatch } from './store/blobs.js';

/** One layer of an image. */
export interface ImageLayer {
  /** Digest of the blob as it is stored and transferred. */
  readonly digest: Digest;
  /** Digest of the uncompressed tar: names the unpacked layer. */
  readonly diffId: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  readonly mediaType: string;
}

/** An image in the store, for one platform. Plain frozen data. */
export interface Image {
  /** The full reference it was found under, such as `docker.io/library/debian:12`. */
  readonly reference: string;
  /** Digest of its manifest. */
  readonly digest: Digest;
  /** Digest of what the reference names: the index of a multi-platform image, else the same as `digest`. */
  readonly root: Digest;
  /** Digest of its config: what Docker calls the image id. */
  readonly configDigest: Digest;
  /** How its makers want it to be run. */
  readonly config: ImageConfig;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  /** Such as `linux/amd64`. */
  readonly platform: string;
  /** When it was made, RFC 3339; `undefined` when it does not say. */
  readonly created: string | undefined;
  /** Annotations of the manifest. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** Gives the exact bytes of a document; undefined when it is not to be had. */
export type Fetch = (what: Descriptor, kind: 'document' | 'config') => Promise<Uint8Array | undefined>;

/** Bytes must be what the descriptor promises. */
export function verifyBytes(bytes: Uint8Array, descriptor: Pick<Descriptor, 'digest' | 'size'>, what: string): void {
  if (bytes.length !== descriptor.size)
    throw digestMismatch(what, descriptor.digest, `${bytes.length} bytes instead of the ${descriptor.size} that were promised`);
  const found = digestOf(bytes, splitDigest(descriptor.digest).algorithm);
  if (found !== descriptor.digest) throw digestMismatch(what, descriptor.digest, found);
}

interface Walk {
  reference: string;
  wanted: Platform;
  fetch: Fetch;
  seen: Set<Digest>;
  have: (Platform | undefined)[];
}

/** Resolves what a reference names to the image for a platform; undefined when a document on the way is not to be had. */
export async function resolveImage(reference: string, root: Descriptor, o: { wanted: Platform; fetch: Fetch }): Promise<Image | undefined> {
  const walk: Walk = { reference, wanted: o.wanted, fetch: o.fetch, seen: new Set(), have: [] };
  const found = await findManifest(walk, root, 0);
  if (found === 'missing') return undefined;
  if (found === undefined) throw platformError(reference, o.wanted, walk.have);
  const { manifest, descriptor } = found;
  refuseArtifact(reference, manifest);
  const bytes = await o.fetch(manifest.config, 'config');
  if (bytes === undefined) return undefined;
  verifyBytes(bytes, manifest.config, `the config of ${reference}`);
  const file = parseImageConfig(bytes, `config of ${reference}`);
  if (file.platform !== undefined && platformRank(file.platform, o.wanted) === undefined)
    throw platformError(reference, o.wanted, [file.platform]);
  return makeImage({ reference, root, manifest, descriptor, file, wanted: o.wanted });
}

type Found = { manifest: Manifest; descriptor: Descriptor };

/** SECURITY: each digest is visited once and nesting is bounded, so an index that leads to itself ends (CVE-2026-55588). */
async function findManifest(walk: Walk, descriptor: Descriptor, depth: number): Promise<Found | 'missing' | undefined> {
  if (depth > MAX_INDEX_DEPTH || walk.seen.size > MAX_DOCUMENTS)
    throw new ImageError('CTR_IMAGE_LIMIT', `image ${walk.reference} has indexes nested too deep or too many`, {
      reference: walk.reference,
    });
  if (walk.seen.has(descriptor.digest)) return undefined;
  walk.seen.add(descriptor.digest);
  const bytes = await walk.fetch(descriptor, 'document');
  if (bytes === undefined) return 'missing';
  verifyBytes(bytes, descriptor, `the manifest of ${walk.reference}`);
  const document = parseDocument(bytes, descriptor.mediaType, `manifest of ${walk.reference}`);
  if (document.kind === 'manifest') return { manifest: document, descriptor };
  walk.have.push(...document.manifests.map((entry) => entry.platform));
  const direct = chooseEntry(document, walk.wanted);
  if (direct !== undefined) return findManifest(walk, direct, depth + 1);
  return searchNested(walk, document, depth);
}

/** The entry for the platform; a single one that names no platform will be judged by its config. */
function chooseEntry(index: Index, wanted: Platform): IndexEntry | undefined {
  const manifests = index.manifests.filter((entry) => kindOf(entry.mediaType) === 'manifest');
  const silent = manifests.filter((entry) => entry.platform === undefined);
  return selectPlatform(manifests, wanted) ?? (silent.length === 1 && manifests.length === 1 ? silent[0] : undefined);
}

async function searchNested(walk: Walk, index: Index, depth: number): Promise<Found | 'missing' | undefined> {
  const nested = index.manifests.filter((entry) => kindOf(entry.mediaType) === 'index');
  let missing = false;
  for (const entry of nested) {
    const found = await findManifest(walk, entry, depth + 1);
    if (found === 'missing') missing = true;
    else if (found !== undefined) return found;
  }
  return missing ? 'missing' : undefined;
}

/** Why a manifest is none of a container image; undefined when it is one. */
export function artifactReason({ config, layers }: Manifest): { text: string; digest?: Digest } | undefined {
  if (!isImageConfig(config.mediaType)) return { text: `its config is ${JSON.stringify(config.mediaType.slice(0, 100))}` };
  const odd = layers.find((layer) => !isTarLayer(layer.mediaType));
  if (odd === undefined) return undefined;
  return { text: `it has a layer that is no tar archive: ${JSON.stringify(odd.mediaType.slice(0, 100))}`, digest: odd.digest };
}

function refuseArtifact(reference: string, manifest: Manifest): void {
  const reason = artifactReason(manifest);
  if (reason === undefined) return;
  const facts = reason.digest === undefined ? { reference } : { reference, digest: reason.digest };
  throw new ImageError('CTR_IMAGE_INVALID', `${reference} is no container image: ${reason.text}`, facts, {
    hint: 'it is an artifact of another kind: Repository reads its manifest and blobs',
  });
}

function makeImage(p: {
  reference: string;
  root: Descriptor;
  manifest: Manifest;
  descriptor: Descriptor;
  file: ImageConfigFile;
  wanted: Platform;
}): Image {
  const { manifest, file } = p;
  if (manifest.layers.length !== file.diffIds.length)
    throw new ImageError(
      'CTR_IMAGE_INVALID',
      `image ${p.reference} has ${manifest.layers.length} layers, but its config names ${file.diffIds.length}`,
      { reference: p.reference },
    );
  const layers = manifest.layers.map(({ digest, size, mediaType }, i) =>
    Object.freeze({ digest, diffId: file.diffIds[i] as Digest, size, mediaType }),
  );
  return Object.freeze({
    reference: p.reference,
    digest: p.descriptor.digest,
    root: p.root.digest,
    configDigest: manifest.config.digest,
    config: file.config,
    layers: Object.freeze(layers),
    platform: formatPlatform(file.platform ?? p.wanted),
    created: file.created,
    annotations: manifest.annotations,
  });
}
