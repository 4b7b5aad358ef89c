// An image with everything below its root, as far as the store has it: what pushing and saving send.
import { ImageError } from '@ctr/internal/errors';
import type { StoreContext } from './context.js';
import type { Digest } from './digest.js';
import { Json } from './document/json.js';
import { type Descriptor, type Index, type Manifest, parseDocument } from './document/manifest.js';
import { isForeignLayer } from './document/media-types.js';
import { verifyBytes } from './image.js';
import { MAX_INDEX_DEPTH, MAX_MANIFEST_BYTES, MAX_TREE_DOCUMENTS } from './limits.js';
import type { OutgoingManifest } from './registry/write-manifest.js';
import { hasBlob, readBlob } from './store/blobs.js';

/** Documents, children before their parents, so that the root comes last; and all blobs they point at. */
export interface Tree {
  documents: OutgoingManifest[];
  blobs: Map<Digest, Descriptor>;
}

/** A manifest or index of the store, verified; undefined when it is not there. */
export async function readDocument(
  context: StoreContext,
  descriptor: Descriptor,
  name: string,
): Promise<{ bytes: Buffer; parsed: Index | Manifest } | undefined> {
  const bytes = await readBlob(context.layout, descriptor.digest, MAX_MANIFEST_BYTES);
  if (bytes === undefined) return undefined;
  verifyBytes(bytes, descriptor, `a manifest of ${name}`);
  return { bytes, parsed: parseDocument(bytes, descriptor.mediaType, `manifest of ${name}`) };
}

/** Everything below a descriptor; undefined when the store lacks a part of it, unless parts will do. */
export async function treeOf(
  context: StoreContext,
  root: Descriptor,
  name: string,
  { partial = false }: { partial?: boolean } = {},
): Promise<Tree | undefined> {
  const tree: Tree = { documents: [], blobs: new Map() };
  return (await addDocument({ context, name, tree, partial }, root, 0)) ? tree : undefined;
}

interface Walk {
  context: StoreContext;
  name: string;
  tree: Tree;
  partial: boolean;
}

async function addDocument(walk: Walk, descriptor: Descriptor, depth: number): Promise<boolean> {
  const { context, name, tree, partial } = walk;
  if (tree.documents.some((d) => d.digest === descriptor.digest)) return true;
  if (depth > MAX_INDEX_DEPTH || tree.documents.length > MAX_TREE_DOCUMENTS)
    throw new ImageError('CTR_IMAGE_LIMIT', `image ${name} has indexes nested too deep or too many`, { reference: name });
  const found = await readDocument(context, descriptor, name);
  if (found === undefined) return partial && depth > 0;
  const { bytes, parsed } = found;
  const below = parsed.kind === 'index' ? parsed.manifests : [];
  for (const entry of below) if (!(await addDocument(walk, entry, depth + 1))) return false;
  if (parsed.kind === 'manifest' && !(await addBlobs(walk, [parsed.config, ...parsed.layers]))) return false;
  tree.documents.push({ bytes, mediaType: parsed.mediaType, digest: descriptor.digest, subject: subjectOf(bytes) });
  return true;
}

async function addBlobs({ context, tree, partial }: Walk, blobs: readonly Descriptor[]): Promise<boolean> {
  for (const blob of blobs) {
    if (await hasBlob(context.layout, blob.digest, blob.size)) tree.blobs.set(blob.digest, blob);
    // SPEC(layer#non-distributable): such layers stay where their makers offer them.
    else if (!partial && !isForeignLayer(blob.mediaType)) return false;
  }
  return true;
}

/** What a manifest refers to, and what it is itself; SPEC(distribution#pushing-manifests-with-subject). */
function subjectOf(bytes: Uint8Array): OutgoingManifest['subject'] {
  const json = Json.parse(bytes, 'manifest').object();
  const subject = json.optional('subject', (j) => j);
  if (subject === undefined) return undefined;
  const config = json.optional('config', (j) => j.optional('mediaType', (t) => t.string()));
  return {
    digest: subject.get('digest').string() as Digest,
    artifactType: json.optional('artifactType', (j) => j.string()) ?? config,
    annotations: json.optional('annotations', (j) => j.record((v) => v.string())) ?? {},
  };
}
