// Pushing: what the registry lacks of an image is mounted or uploaded, then its manifests, and last of all its name.
import { createReadStream } from 'node:fs';
import { ImageError } from '@ctr/internal/errors';
import { type Emit, inParallel, type StoreContext, waitsTo } from './context.js';
import type { Digest } from './digest.js';
import type { Descriptor } from './document/manifest.js';
import { MAX_INDEX_DEPTH } from './limits.js';
import type { RegistryOptions, Settled } from './options.js';
import { platformError, selectPlatform } from './platform.js';
import type { Reference } from './reference.js';
import type { RegistryClient } from './registry/client.js';
import { connect } from './registry/connect.js';
import { type Uploaded, uploadBlob } from './registry/upload.js';
import { type OutgoingManifest, putManifest } from './registry/write-manifest.js';
import { CHUNK_BYTES } from './store/blobs.js';
import { storeError } from './store/files.js';
import { Lease } from './store/leases.js';
import { readDocument, type Tree, treeOf } from './tree.js';

/** What came of a push. */
export interface PushResult {
  /** The full name it has there. */
  reference: string;
  /** Digest of what the name stands for: pull `name@digest` to get exactly this. */
  digest: Digest;
  mediaType: string;
  /** Blobs that were sent, that another repository of the registry had, and that were there already. */
  uploaded: number;
  mounted: number;
  existing: number;
  /** Bytes sent, without manifests. */
  bytes: number;
}

export interface PushWork extends RegistryOptions, Settled {
  context: StoreContext;
  /** The name in the store. */
  from: Reference;
  /** The name in the registry. */
  to: Reference;
  /** Undefined: everything the name stands for when the store has all of it, else this machine's image. */
  only: Settled['wanted'] | undefined;
  /** No part will do. */
  allPlatforms: boolean;
  chunkBytes: number | undefined;
  mountFrom: readonly string[];
}

/** Blobs at once: one is read while another waits for the registry to take it in. */
const PARALLEL_BLOBS = 3;

export async function pushImage(work: PushWork, emit: Emit): Promise<PushResult> {
  const { context, from, to, signal } = work;
  const lease = new Lease(context.layout);
  try {
    const root = await context.index.find(from.name);
    if (root === undefined) throw notStored(from.name);
    const tree = await choose(work, root);
    await lease.add({ blobs: [...tree.blobs.keys(), ...tree.documents.map((d) => d.digest)] });
    const { tokens, lines } = context;
    const client = await connect({ reference: to, options: work, tokens, lines, actions: 'pull,push', signal, onWait: waitsTo(emit) });
    try {
      const result = await send(work, client, tree, emit);
      client.release();
      return result;
    } catch (error) {
      client.close();
      throw error;
    }
  } finally {
    await lease.release();
  }
}

const notStored = (name: string): ImageError =>
  new ImageError(
    'CTR_IMAGE_NOT_FOUND',
    `image ${name} is not in the store`,
    { reference: name },
    { hint: 'pull, load or create it first' },
  );

/** What to push: an index as a whole, or the one image that is here. */
export async function choose(
  work: Pick<PushWork, 'context' | 'from' | 'only' | 'allPlatforms' | 'wanted'>,
  root: Descriptor,
): Promise<Tree> {
  const { context, from } = work;
  if (work.only === undefined) {
    const whole = await treeOf(context, root, from.name);
    if (whole !== undefined) return whole;
    if (work.allPlatforms) throw notWhole(from.name);
  }
  const wanted = work.only ?? work.wanted;
  const one = await manifestFor(context, root, wanted, from.name);
  const tree = await treeOf(context, one, from.name);
  if (tree !== undefined) return tree;
  throw notWhole(from.name);
}

const notWhole = (name: string): ImageError =>
  new ImageError(
    'CTR_IMAGE_NOT_FOUND',
    `image ${name} is not whole in the store, so it cannot be sent on`,
    { reference: name },
    { hint: 'pull or load it again; with allPlatforms for an image of several platforms' },
  );

async function manifestFor(context: StoreContext, root: Descriptor, wanted: Settled['wanted'], name: string): Promise<Descriptor> {
  for (let descriptor = root, depth = 0; depth <= MAX_INDEX_DEPTH; depth++) {
    const document = await readDocument(context, descriptor, name);
    if (document?.parsed.kind !== 'index') return descriptor;
    const entries = document.parsed.manifests;
    const chosen = selectPlatform(entries, wanted) ?? (entries.length === 1 ? entries[0] : undefined);
    if (chosen === undefined)
      throw platformError(
        name,
        wanted,
        entries.map((e) => e.platform),
      );
    descriptor = chosen;
  }
  throw new ImageError('CTR_IMAGE_LIMIT', `image ${name} has indexes nested too deep`, { reference: name });
}

async function send(work: PushWork, client: RegistryClient, tree: Tree, emit: Emit): Promise<PushResult> {
  const { to, signal } = work;
  const root = tree.documents.at(-1) as OutgoingManifest;
  const blobs = [...tree.blobs.values()].sort((a, b) => b.size - a.size);
  const total = blobs.reduce((sum, blob) => sum + blob.size, 0);
  emit({ type: 'resolve', digest: root.digest, bytes: 0, total });
  const counts = { exists: 0, mounted: 0, uploaded: 0 };
  let bytes = 0;
  const sources = await mountSources(work, tree);
  await inParallel(blobs, PARALLEL_BLOBS, signal, async (blob, stop) => {
    const how = await sendBlob(work, client, blob, sources.get(blob.digest) ?? [], stop, emit);
    counts[how]++;
    if (how === 'uploaded') bytes += blob.size;
    emit({ type: 'done', digest: blob.digest, bytes: blob.size, total: blob.size });
  });
  for (const document of tree.documents.slice(0, -1)) await putManifest(client, document.digest, document, signal);
  if (to.digest !== undefined && to.digest !== root.digest)
    throw new ImageError('CTR_IMAGE_DIGEST_MISMATCH', `${work.from.name} is ${root.digest}, it cannot be pushed as ${to.name}`, {
      digest: root.digest,
    });
  await putManifest(client, to.tag ?? root.digest, root, signal);
  emit({ type: 'done', digest: root.digest, bytes: total, total });
  const { digest, mediaType } = root;
  return {
    reference: to.name,
    digest,
    mediaType,
    uploaded: counts.uploaded,
    mounted: counts.mounted,
    existing: counts.exists,
    bytes,
  };
}

function sendBlob(
  work: PushWork,
  client: RegistryClient,
  blob: Descriptor,
  mountFrom: readonly string[],
  signal: AbortSignal,
  emit: Emit,
): Promise<Uploaded> {
  const { digest, size } = blob;
  const file = work.context.layout.blob(digest);
  const source = { digest, size, read: (start: number, end: number) => readRange(file, start, end) };
  return uploadBlob(client, source, {
    chunkBytes: work.chunkBytes,
    mountFrom,
    signal,
    onBytes: (bytes) => emit({ type: 'upload', digest, bytes, total: size }),
  });
}

async function* readRange(file: string, start: number, end: number): AsyncGenerator<Uint8Array> {
  if (start >= end) return;
  try {
    yield* createReadStream(file, { start, end: end - 1, highWaterMark: CHUNK_BYTES });
  } catch (error) {
    throw storeError(error, 'read a blob of the image store');
  }
}

/** Repositories asked for one blob: each costs a request, and the second guess is seldom better. */
const MAX_MOUNTS = 2;

/**
 * Where in the same registry a blob may lie: what the caller names, then the repositories of the store's other images that have it.
 * An image made on a base from the same registry so never sends the base again.
 */
async function mountSources(work: PushWork, tree: Tree): Promise<Map<Digest, string[]>> {
  const { context, to } = work;
  const sources = new Map<Digest, string[]>();
  const note = (digest: Digest, repository: string): void => {
    const list = sources.get(digest) ?? [];
    if (repository === to.repository || list.includes(repository) || list.length >= MAX_MOUNTS || !tree.blobs.has(digest)) return;
    sources.set(digest, [...list, repository]);
  };
  for (const repository of work.mountFrom) for (const digest of tree.blobs.keys()) note(digest, repository);
  for (const entry of await context.index.entries()) {
    const repository = repositoryOf(entry, to.registry);
    if (repository === undefined) continue;
    for (const digest of await blobsBelow(context, entry)) note(digest, repository);
  }
  return sources;
}

function repositoryOf(entry: Descriptor, registry: string): string | undefined {
  const name = entry.annotations['org.opencontainers.image.ref.name'] ?? '';
  if (!name.startsWith(`${registry}/`)) return undefined;
  return name.slice(registry.length + 1).replace(/(:[^:/]*|@.*)$/, '');
}

/** What cannot be read is of no use here, and no reason to fail. */
async function blobsBelow(context: StoreContext, entry: Descriptor): Promise<Digest[]> {
  const tree = await treeOf(context, entry, 'an image of the store').catch(() => undefined);
  return tree === undefined ? [] : [...tree.blobs.keys()];
}
