// Saves images to a file or folder: one archive that both OCI tools and docker load, or an OCI image layout folder.
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import { ImageError, InvalidArgumentError, syscallErrorFrom } from '@ctr/internal/errors';
import { throwIfAborted } from './abort.js';
import type { StoreContext } from './context.js';
import { type Digest, Digester, splitDigest } from './digest.js';
import { Json } from './document/json.js';
import type { Descriptor } from './document/manifest.js';
import { OCI_INDEX } from './document/media-types.js';
import { type Image, resolveImage } from './image.js';
import { MAX_MANIFEST_BYTES } from './limits.js';
import { CONTAINERD_NAME } from './load/load.js';
import type { Platform } from './platform.js';
import { choose } from './push.js';
import type { Reference } from './reference.js';
import { digestMismatch, readBatches, readBlob } from './store/blobs.js';
import { isMissing, replaceFile, syncDirectory } from './store/files.js';
import { REF_NAME } from './store/index-file.js';
import { checkLayoutVersion, LAYOUT_VERSION } from './store/layout.js';
import { Lease } from './store/leases.js';
import { encodeHeader, paxRecords, typeFlags } from './tar/header.js';
import type { Tree } from './tree.js';

export interface SaveWork {
  context: StoreContext;
  references: readonly Reference[];
  wanted: Platform;
  only: Platform | undefined;
  allPlatforms: boolean;
  signal: AbortSignal;
}

/** An image to save: what its name stands for, and everything below. */
interface Saved {
  reference: Reference;
  root: Descriptor;
  tree: Tree;
  /** For docker, which knows one platform for each name. */
  image: Image | undefined;
}

interface Selection {
  images: Saved[];
  blobs: Map<Digest, number>;
}

const BLOCK = 512;

/** The bytes of the archive: the same for the same images, whenever and wherever it is made. */
export async function* saveStream(work: SaveWork): AsyncGenerator<Uint8Array> {
  const lease = new Lease(work.context.layout);
  try {
    const selection = await select(work, lease);
    yield* archive(work, selection);
  } finally {
    await lease.release();
  }
}

/** Writes the archive beside its name and moves it there when it is complete. */
export async function saveArchive(work: SaveWork, file: string): Promise<void> {
  const temp = tempBeside(file);
  try {
    const handle = await open(temp, 'wx', 0o600);
    try {
      for await (const chunk of saveStream(work)) await handle.writeFile(chunk);
      await handle.datasync();
    } finally {
      await handle.close();
    }
    await rename(temp, file);
    await syncDirectory(path.dirname(path.resolve(file)));
  } catch (error) {
    await unlink(temp).catch(() => undefined);
    throw syscallErrorFrom(error, `save to ${file}`);
  }
}

const tempBeside = (file: string): string =>
  path.join(path.dirname(path.resolve(file)), `.${path.basename(file)}.${randomBytes(6).toString('hex')}.tmp`);

/** Adds the images to an OCI image layout folder, which is made when it is not there. */
export async function saveDirectory(work: SaveWork, directory: string): Promise<void> {
  const lease = new Lease(work.context.layout);
  try {
    const { images, blobs } = await select(work, lease);
    await prepareDirectory(directory);
    for (const digest of blobs.keys()) await copyInto(work, directory, digest);
    await updateIndex(directory, images);
  } catch (error) {
    throw syscallErrorFrom(error, `save to ${directory}`);
  } finally {
    await lease.release();
  }
}

async function select(work: SaveWork, lease: Lease): Promise<Selection> {
  const images: Saved[] = [];
  const blobs = new Map<Digest, number>();
  for (const reference of work.references) {
    const saved = await selectOne(work, reference);
    images.push(saved);
    for (const [digest, { size }] of saved.tree.blobs) blobs.set(digest, size);
    for (const { digest, bytes } of saved.tree.documents) blobs.set(digest, bytes.length);
  }
  await lease.add({ blobs: blobs.keys() });
  return { images, blobs };
}

async function selectOne(work: SaveWork, reference: Reference): Promise<Saved> {
  const { context, wanted } = work;
  const entry = await context.index.find(reference.name);
  if (entry === undefined)
    throw new ImageError('CTR_IMAGE_NOT_FOUND', `image ${reference.name} is not in the store`, { reference: reference.name });
  const tree = await choose({ ...work, from: reference }, entry);
  const top = tree.documents.at(-1) as Tree['documents'][number];
  const root = { mediaType: top.mediaType, digest: top.digest, size: top.bytes.length, annotations: {} };
  const fetch = (what: Descriptor): Promise<Buffer | undefined> => readBlob(context.layout, what.digest, MAX_MANIFEST_BYTES);
  const image = await resolveImage(reference.name, root, { wanted: work.only ?? wanted, fetch }).catch((error: unknown) => {
    // An index without this machine's platform: OCI tools can use it all the same.
    if (error instanceof ImageError && ['CTR_IMAGE_PLATFORM', 'CTR_IMAGE_INVALID'].includes(error.code)) return undefined;
    throw error;
  });
  return { reference, root, tree, image };
}

async function* archive(work: SaveWork, { images, blobs }: Selection): AsyncGenerator<Uint8Array> {
  const sizes = [...blobs].sort(([a], [b]) => (a < b ? -1 : 1));
  yield member('blobs/', 0, typeFlags.directory);
  for (const algorithm of new Set(sizes.map(([digest]) => splitDigest(digest).algorithm))) {
    yield member(`blobs/${algorithm}/`, 0, typeFlags.directory);
    for (const [digest, size] of sizes) {
      if (splitDigest(digest).algorithm !== algorithm) continue;
      yield member(blobName(digest), size, typeFlags.file);
      yield* verifiedBlob(work, digest, size);
      yield padding(size);
    }
  }
  yield* document('index.json', { schemaVersion: 2, mediaType: OCI_INDEX, manifests: indexEntries(images) });
  yield* document('manifest.json', dockerManifest(images));
  yield* document('oci-layout', JSON.parse(LAYOUT_VERSION));
  yield new Uint8Array(2 * BLOCK);
}

function* document(name: string, content: unknown): Generator<Uint8Array> {
  const bytes = Buffer.from(JSON.stringify(content));
  yield member(name, bytes.length, typeFlags.file);
  yield bytes;
  yield padding(bytes.length);
}

const padding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

const blobName = (digest: Digest): string => {
  const { algorithm, hex } = splitDigest(digest);
  return `blobs/${algorithm}/${hex}`;
};

function member(name: string, size: number, type: string): Uint8Array {
  const mode = type === typeFlags.directory ? 0o755 : 0o644;
  const facts = { path: name, target: '', type, mode, uid: 0, gid: 0, mtime: 0, size };
  return Buffer.concat([paxRecords(facts), encodeHeader(facts)]);
}

/** The header has promised a size, and the name a digest: a blob that was changed on disk ends the saving. */
async function* verifiedBlob({ context, signal }: SaveWork, digest: Digest, size: number): AsyncGenerator<Uint8Array> {
  const digester = new Digester(splitDigest(digest).algorithm);
  for await (const batch of readBatches(context.layout.blob(digest))) {
    throwIfAborted(signal, 'save images');
    for (const chunk of batch) digester.update(chunk);
    yield* batch;
  }
  const found = digester.digest();
  if (digester.bytes !== size || found !== digest) throw digestMismatch('a blob of the image store was changed', digest, found);
}

/** Tools that know one name for an entry read the tag, the others the full name; a tag that two images share tells nothing. */
function indexEntries(images: readonly Saved[]): object[] {
  const tags = images.map(({ reference }) => reference.tag);
  return images.map(({ reference, root }) => {
    const unique = tags.filter((tag) => tag === reference.tag).length === 1;
    const short = unique ? reference.tag : reference.name;
    return {
      mediaType: root.mediaType,
      digest: root.digest,
      size: root.size,
      annotations: { [CONTAINERD_NAME]: reference.name, ...(short === undefined ? {} : { [REF_NAME]: short }) },
    };
  });
}

/** What `docker load` before version 25 reads. */
function dockerManifest(images: readonly Saved[]): object[] {
  return images.flatMap(({ reference, image }) =>
    image === undefined
      ? []
      : [
          {
            Config: blobName(image.configDigest),
            RepoTags: reference.tag === undefined ? null : [reference.name],
            Layers: image.layers.map((layer) => blobName(layer.digest)),
          },
        ],
  );
}

async function prepareDirectory(directory: string): Promise<void> {
  await mkdir(path.join(directory, 'blobs'), { recursive: true });
  const file = path.join(directory, 'oci-layout');
  const version = await readFile(file).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (version !== undefined) return checkLayoutVersion(version, file);
  const others = (await readdir(directory)).filter((name) => name !== 'blobs');
  if (others.length > 0) throw new InvalidArgumentError('target', 'a new or empty folder, or an OCI image layout', directory);
  await replaceFile(tempBeside(file), file, LAYOUT_VERSION, false);
}

/** A copy, sharing its blocks with the original where the file system can; verified, as the folder may be all that is left one day. */
async function copyInto({ context, signal }: SaveWork, directory: string, digest: Digest): Promise<void> {
  throwIfAborted(signal, 'save images');
  const to = path.join(directory, blobName(digest));
  await mkdir(path.dirname(to), { recursive: true });
  const temp = tempBeside(to);
  try {
    await copyFile(context.layout.blob(digest), temp, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
    const digester = new Digester(splitDigest(digest).algorithm);
    for await (const batch of readBatches(temp)) for (const chunk of batch) digester.update(chunk);
    const found = digester.digest();
    if (found !== digest) throw digestMismatch('a blob of the image store was changed', digest, found);
    await rename(temp, to);
  } catch (error) {
    await unlink(temp).catch(() => undefined);
    throw error;
  }
}

/** Entries of the same name are replaced, others kept. */
async function updateIndex(directory: string, images: readonly Saved[]): Promise<void> {
  const file = path.join(directory, 'index.json');
  const known = await readFile(file).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  const entries = indexEntries(images) as { annotations: Record<string, string> }[];
  const names = new Set(entries.map((e) => e.annotations[REF_NAME] ?? e.annotations[CONTAINERD_NAME]));
  const json = known === undefined ? undefined : Json.parse(known, file).object();
  const kept = (json?.get('manifests').array(100_000) ?? []).map((j) => j.object().value as { annotations?: Record<string, string> });
  const others = kept.filter(({ annotations = {} }) => !names.has(annotations[REF_NAME] ?? annotations[CONTAINERD_NAME] ?? ''));
  const base = (json?.value as object | undefined) ?? { schemaVersion: 2, mediaType: OCI_INDEX };
  await replaceFile(tempBeside(file), file, JSON.stringify({ ...base, manifests: [...others, ...entries] }), true);
}
