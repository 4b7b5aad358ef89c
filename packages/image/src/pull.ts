// Pulling: what the store lacks of an image is fetched, verified, unpacked, and only then named in index.json.
import { createHash } from 'node:crypto';
import { ImageError } from '@ctr/internal/errors';
import { type Emit, type Remote, type StoreContext, waitsTo } from './context.js';
import { type Digest, digestOf, splitDigest } from './digest.js';
import { type Descriptor, parseDocument } from './document/manifest.js';
import { isForeignLayer } from './document/media-types.js';
import { findImage } from './find.js';
import { type Fetch, type Image, resolveImage, verifyBytes } from './image.js';
import { ensureLayers, isComplete } from './layers.js';
import { MAX_INDEX_DEPTH, MAX_MANIFEST_BYTES, MAX_TREE_DOCUMENTS } from './limits.js';
import type { RegistryOptions, Settled } from './options.js';
import { formatPlatform } from './platform.js';
import type { Reference } from './reference.js';
import { connect, connectMirrors } from './registry/connect.js';
import { Sources } from './registry/sources.js';
import { digestMismatch, putBlob, readBlob } from './store/blobs.js';
import { collect } from './store/gc.js';
import { Lease } from './store/leases.js';
import { treeOf } from './tree.js';
import type { LayerSink } from './unpack/layer-sink.js';

export interface PullWork extends RegistryOptions, Settled {
  context: StoreContext;
  reference: Reference;
  policy: 'missing' | 'always' | 'never';
  sink: LayerSink | undefined;
  /** Everything that the reference names, not only what runs here. */
  allPlatforms: boolean;
}

/** Two pulls with the same key may share their work: same image, same credentials, same rules. */
export function pullKey(work: PullWork): string {
  const { auth, insecure, trustedOrigins, mirrors, proxy, tls, retry, idleTimeoutMs, limits } = work;
  const rules = [auth, insecure, trustedOrigins, mirrors, proxy, tls, retry, idleTimeoutMs, limits];
  const hash = createHash('sha256').update(JSON.stringify(rules)).digest('base64');
  return JSON.stringify([
    'pull',
    work.reference.name,
    formatPlatform(work.wanted),
    work.policy,
    work.allPlatforms,
    work.sink !== undefined,
    work.sink?.form,
    hash,
  ]);
}

/** Pulls by policy. With the policy `missing` and everything there, no request is made. */
export async function pullImage(work: PullWork, signal: AbortSignal, emit: Emit): Promise<Image> {
  const { context, reference, policy } = work;
  // A damaged copy is no copy: it is fetched anew. Without permission to fetch, its error is reported.
  const stored = await findImage(context, reference, work.wanted).catch((error: unknown) => {
    if (policy !== 'never' && error instanceof ImageError) return undefined;
    throw error;
  });
  if (policy !== 'always' && stored !== undefined && (await isWhole(stored, work))) return finish(stored, emit);
  if (policy === 'never') return finish(await unpackStored(work, stored, signal, emit), emit);
  const remote = await openRemote(work, signal, emit);
  try {
    const image = await fetchImage(work, remote, stored, signal, emit);
    remote.release();
    return image;
  } catch (error) {
    remote.close();
    throw error;
  }
}

async function isWhole(stored: Image, work: PullWork): Promise<boolean> {
  const { context, reference } = work;
  // Who has the layers unpacked needs no blobs to run them; who asks to look again gets back also those that were lost.
  const blobsToo = work.policy === 'always' && work.sink !== undefined;
  const complete = [work.sink, ...(blobsToo ? [undefined] : [])].map((sink) => isComplete(stored, context, sink));
  if (!(await Promise.all(complete)).every(Boolean)) return false;
  if (!work.allPlatforms) return true;
  const root = await context.index.find(reference.name);
  return root !== undefined && (await treeOf(context, root, reference.name).catch(() => undefined)) !== undefined;
}

function finish(image: Image, emit: Emit): Image {
  const total = image.layers.reduce((sum, layer) => sum + layer.size, 0);
  emit({ type: 'done', digest: image.digest, bytes: total, total });
  return image;
}

async function unpackStored(work: PullWork, stored: Image | undefined, signal: AbortSignal, emit: Emit): Promise<Image> {
  const { context, reference, sink, limits } = work;
  if (stored === undefined)
    throw new ImageError(
      'CTR_IMAGE_NOT_FOUND',
      `image ${reference.name} is not in the store, and the pull policy is "never"`,
      { reference: reference.name },
      {
        hint: 'pull it first, load it from a file, or allow pulling',
      },
    );
  await ensureLayers(stored, { context, remote: undefined, sink, limits, reference: reference.name }, signal, emit);
  return stored;
}

async function openRemote(work: PullWork, signal: AbortSignal, emit: Emit): Promise<Remote> {
  const { reference, context } = work;
  const how = { reference, options: work, tokens: context.tokens, lines: context.lines, actions: 'pull', signal, onWait: waitsTo(emit) };
  return new Sources(await connectMirrors(how), await connect(how), work.retry ?? {});
}

async function fetchImage(work: PullWork, remote: Remote, stored: Image | undefined, signal: AbortSignal, emit: Emit): Promise<Image> {
  const { context, reference, sink, limits } = work;
  // What the registry says and what the disk says are asked for together.
  const [unchanged, whole] = await bothOf(unchangedRoot(work, remote, stored, signal), stored !== undefined && isWhole(stored, work));
  if (unchanged !== undefined && stored !== undefined && whole) return finish(stored, emit);
  const lease = new Lease(context.layout);
  // Kept in memory until one lease names all that the image needs: a store that is locked for each costs more than a small image.
  const documents: Documents = new Map();
  try {
    const root = unchanged ?? (await fetchRoot(work, remote, documents, signal));
    const fetch = fetcher(work, remote, async (digest, bytes) => documents.set(digest, bytes), signal, documents);
    const image = await resolveImage(reference.name, root, { wanted: work.wanted, fetch });
    if (image === undefined)
      throw new ImageError('CTR_IMAGE_NOT_FOUND', `image ${reference.name} is not complete in its registry`, { reference: reference.name });
    await lease.add({
      blobs: [root.digest, ...documents.keys(), ...image.layers.map((l) => l.digest)],
      layers: image.layers.map((l) => l.diffId),
    });
    emit({ type: 'resolve', digest: image.digest, bytes: 0, total: image.layers.reduce((sum, l) => sum + l.size, 0) });
    const layers = ensureLayers(image, { context, remote, sink, limits, reference: reference.name }, signal, emit);
    await bothOf(layers, putDocuments(context, documents));
    if (work.allPlatforms) await fetchBelow(work, remote, root, lease, signal, emit);
    await context.index.set(reference.name, root);
    return finish(image, emit);
  } catch (error) {
    // A full disk must not stay full because of what this pull brought: what nothing else uses goes again.
    const full = ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');
    const mine = lease.held();
    await lease.release();
    if (full) await collect(context, mine).catch(() => undefined);
    throw error;
  } finally {
    await lease.release();
  }
}

/** Documents of an image, as they were read from the store or fetched. */
type Documents = Map<Digest, Uint8Array>;

/** Also those that were read: until the lease was there, gc() could have taken them. */
async function putDocuments({ layout }: StoreContext, documents: Documents): Promise<void> {
  const puts = [...documents].map(([digest, bytes]) => putBlob(layout, bytes, digest));
  for (const put of await Promise.allSettled(puts)) if (put.status === 'rejected') throw put.reason;
}

/** Both end before the first failure is told: what they made is then cleared away. */
async function bothOf<A, B>(one: A, other: B): Promise<[Awaited<A>, Awaited<B>]> {
  const results = await Promise.allSettled([one, other]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as [Awaited<A>, Awaited<B>];
}

/** The documents and blobs of every platform; nothing of them is unpacked. */
async function fetchBelow(work: PullWork, remote: Remote, root: Descriptor, lease: Lease, signal: AbortSignal, emit: Emit): Promise<void> {
  const { context, reference, limits } = work;
  const keep = async (digest: Digest, bytes: Uint8Array): Promise<void> => {
    await lease.add({ blobs: [digest] });
    await putBlob(context.layout, bytes, digest);
  };
  const fetch = fetcher(work, remote, keep, signal);
  const seen = new Set<Digest>();
  const visit = async (descriptor: Descriptor, depth: number): Promise<void> => {
    if (seen.has(descriptor.digest)) return;
    seen.add(descriptor.digest);
    if (depth > MAX_INDEX_DEPTH || seen.size > MAX_TREE_DOCUMENTS)
      throw new ImageError('CTR_IMAGE_LIMIT', `image ${reference.name} has indexes nested too deep or too many`, {
        reference: reference.name,
      });
    const bytes = (await fetch(descriptor, 'document')) as Uint8Array;
    verifyBytes(bytes, descriptor, `the manifest of ${reference.name}`);
    const document = parseDocument(bytes, descriptor.mediaType, `manifest of ${reference.name}`);
    if (document.kind === 'index') for (const entry of document.manifests) await visit(entry, depth + 1);
    if (document.kind !== 'manifest') return;
    // Without a sink only the blob counts, so any name for the unpacked layer does.
    const blobs = [document.config, ...document.layers.filter((l) => !isForeignLayer(l.mediaType))].map((b) => ({
      ...b,
      diffId: b.digest,
    }));
    await lease.add({ blobs: blobs.map((b) => b.digest) });
    await ensureLayers({ layers: blobs }, { context, remote, sink: undefined, limits, reference: reference.name }, signal, emit);
  };
  await visit(root, 0);
}

/** With the policy `always`, a HEAD tells whether the tag still names what the store has. */
async function unchangedRoot(
  work: PullWork,
  remote: Remote,
  stored: Image | undefined,
  signal: AbortSignal,
): Promise<Descriptor | undefined> {
  const { reference, context } = work;
  if (stored === undefined) return undefined;
  const ask = work.policy === 'always' && reference.digest === undefined;
  const [known, now] = await bothOf(context.index.find(reference.name), ask ? remote.digestOf(reference.tag as string, signal) : undefined);
  if (known === undefined || known.digest !== stored.root) return undefined;
  return !ask || now === known.digest ? known : undefined;
}

/** Fetches what the reference names. The bytes are kept as they came; which digest they have decides everything else. */
async function fetchRoot(work: PullWork, remote: Remote, documents: Documents, signal: AbortSignal): Promise<Descriptor> {
  const { reference } = work;
  const algorithm = reference.digest === undefined ? 'sha256' : splitDigest(reference.digest).algorithm;
  const { bytes, mediaType } = await remote.manifest(reference.digest ?? (reference.tag as string), signal, (got) => {
    const found = digestOf(got.bytes, algorithm);
    if (reference.digest !== undefined && found !== reference.digest)
      throw digestMismatch(`the registry sent another manifest for ${reference.name}`, reference.digest, found);
    parseDocument(got.bytes, got.mediaType, `manifest of ${reference.name}`);
  });
  const digest = digestOf(bytes, algorithm);
  const document = parseDocument(bytes, mediaType, `manifest of ${reference.name}`);
  documents.set(digest, bytes);
  return { mediaType: document.mediaType, digest, size: bytes.length, annotations: {} };
}

/** Documents from the store where it has them, else from the registry; `keep` sees to it that they stay. */
function fetcher(
  work: PullWork,
  remote: Remote,
  keep: (digest: Digest, bytes: Uint8Array) => Promise<unknown>,
  signal: AbortSignal,
  documents?: Documents,
): Fetch {
  const { layout } = work.context;
  return async (what, kind) => {
    if (what.size > MAX_MANIFEST_BYTES)
      throw new ImageError(
        'CTR_IMAGE_LIMIT',
        `the ${kind} ${what.digest} of ${work.reference.name} is longer than ${MAX_MANIFEST_BYTES} bytes`,
        { digest: what.digest },
      );
    const known = documents?.get(what.digest) ?? (await readBlob(layout, what.digest, what.size).catch(() => undefined));
    const bytes =
      known ?? (kind === 'config' ? await fetchSmallBlob(remote, what, signal) : await fetchManifest(work, remote, what, signal));
    verifyBytes(bytes, what, `the ${kind} of ${work.reference.name}`);
    await keep(what.digest, bytes);
    return bytes;
  };
}

async function fetchManifest(work: PullWork, remote: Remote, what: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  const { bytes } = await remote.manifest(what.digest, signal, (got) => {
    // Judged here once more with the type that this answer came with.
    parseDocument(got.bytes, got.mediaType, `manifest of ${work.reference.name}`);
    verifyBytes(got.bytes, what, `a document of ${work.reference.name}`);
  });
  return bytes;
}

/** A config. What a mirror gives is judged before the next place is out of reach. */
async function fetchSmallBlob(remote: Remote, what: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  for (;;) {
    try {
      const bytes = await collectBlob(remote, what, signal);
      verifyBytes(bytes, what, 'the config');
      return bytes;
    } catch (error) {
      if (signal.aborted || !(error instanceof ImageError) || !remote.distrust()) throw error;
    }
  }
}

async function collectBlob(remote: Remote, what: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const batch of remote.blob(what, signal)) {
    chunks.push(...batch);
    bytes += batch.reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes > what.size) throw digestMismatch('the config is not what the manifest says', what.digest, `more than ${what.size} bytes`);
  }
  return Buffer.concat(chunks, bytes);
}
