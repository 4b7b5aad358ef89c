// Reads the whole store again and says what is not what it should be; repairs by taking the damaged parts away.
import { lstat, readdir, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { throwIfAborted } from '../abort.js';
import type { StoreContext } from '../context.js';
import { type Digest, Digester, isDigest, splitDigest } from '../digest.js';
import { Json } from '../document/json.js';
import type { Descriptor } from '../document/manifest.js';
import { isForeignLayer } from '../document/media-types.js';
import { readDocument } from '../tree.js';
import { hasBlob, readBatches } from './blobs.js';
import { isMissing, removeTree, storeError } from './files.js';
import { REF_NAME } from './index-file.js';
import type { Layout } from './layout.js';
import { INDEX_LOCK } from './leases.js';
import { withLock } from './lock.js';
import { sweepLeftovers } from './temp.js';

/** What `verify` found. */
export interface VerifyResult {
  /** Blobs and unpacked layers that were looked at, and the bytes that were read. */
  blobs: number;
  layers: number;
  bytes: number;
  /** Content that is not what its name says. With `repair` it is gone now. */
  damaged: Damage[];
  /** References that lack something, or lack it now. Pulling them again with the policy `always` brings it. */
  incomplete: { reference: string; missing: Digest[] }[];
}

export interface Damage {
  kind: 'blob' | 'layer';
  digest: Digest;
  problem: string;
}

export interface VerifyWork {
  context: StoreContext;
  repair: boolean;
  signal: AbortSignal;
}

type Found = Damage & { file: string };

/** Every byte of every blob is hashed; of unpacked layers only the frame is looked at, as their form is the sink's affair. */
export async function verifyStore({ context, repair, signal }: VerifyWork): Promise<VerifyResult> {
  const { layout } = context;
  const result: VerifyResult = { blobs: 0, layers: 0, bytes: 0, damaged: [], incomplete: [] };
  try {
    const found: Found[] = [];
    for await (const { digest, file } of named(layout.blobs)) {
      throwIfAborted(signal, 'verify the image store');
      const problem = await blobProblem(file, digest, result);
      if (problem !== undefined) found.push({ kind: 'blob', digest, problem, file });
    }
    for await (const { digest, file } of named(layout.layers)) {
      throwIfAborted(signal, 'verify the image store');
      result.layers++;
      const problem = await layerProblem(file);
      if (problem !== undefined) found.push({ kind: 'layer', digest, problem, file });
    }
    if (repair) await removeDamaged(layout, found);
    result.damaged = found.map(({ kind, digest, problem }) => ({ kind, digest, problem }));
    result.incomplete = await incomplete(context);
    return result;
  } catch (error) {
    throw storeError(error, 'verify the image store');
  }
}

/** Files with digests for names; what else lies there is not ours. */
async function* named(directory: string): AsyncGenerator<{ digest: Digest; file: string }> {
  for (const algorithm of await readdir(directory))
    for (const name of await readdir(path.join(directory, algorithm))) {
      const digest = `${algorithm}:${name.split('.', 1)[0]}`;
      if (isDigest(digest)) yield { digest, file: path.join(directory, algorithm, name) };
    }
}

async function blobProblem(file: string, digest: Digest, result: VerifyResult): Promise<string | undefined> {
  try {
    if (!(await lstat(file)).isFile()) return 'it is no regular file';
    const digester = new Digester(splitDigest(digest).algorithm);
    for await (const batch of readBatches(file)) for (const chunk of batch) digester.update(chunk);
    result.blobs++;
    result.bytes += digester.bytes;
    const found = digester.digest();
    return found === digest ? undefined : `its content is ${found}`;
  } catch (error) {
    // Collected while we looked. A disk that cannot give back what it was given is damage like any other.
    if (isMissing(error)) return undefined;
    if ((error as NodeJS.ErrnoException).code === 'EIO') return 'the disk cannot read it';
    throw error;
  }
}

async function layerProblem(directory: string): Promise<string | undefined> {
  try {
    if (!(await lstat(path.join(directory, 'fs'))).isDirectory()) return 'its tree is no directory';
    Json.parse(await readFile(path.join(directory, 'layer.json')), 'layer.json')
      .object()
      .get('opaqueRoot')
      .boolean();
    return undefined;
  } catch (error) {
    if (!isMissing(error)) return 'what is known of it cannot be read';
    // Collected while we looked, or a part of it is gone.
    return (await lstat(directory).catch(() => undefined)) === undefined ? undefined : 'a part of it is missing';
  }
}

/** By rename under the lock, as in gc(): readers see the whole or nothing. */
async function removeDamaged(layout: Layout, found: readonly Found[]): Promise<void> {
  const trash = await withLock(layout.locks, INDEX_LOCK, async () => {
    const moved: string[] = [];
    for (const { file } of found) {
      const name = layout.tempName('damaged');
      const done = await rename(file, name).then(
        () => true,
        (error: unknown) => {
          if (isMissing(error)) return false;
          throw error;
        },
      );
      if (done) moved.push(name);
    }
    return moved;
  });
  for (const name of trash) await removeTree(name);
  await sweepLeftovers(layout);
}

async function incomplete(context: StoreContext): Promise<VerifyResult['incomplete']> {
  const lacking: VerifyResult['incomplete'] = [];
  for (const entry of await context.index.entries()) {
    const reference = entry.annotations[REF_NAME] ?? entry.digest;
    const missing: Digest[] = [];
    const images = await countImages(context, entry, reference, missing, 0);
    // An index whose other platforms were never fetched is whole as far as anybody asked for it.
    if (missing.length > 0 || images === 0) lacking.push({ reference, missing: missing.length > 0 ? missing : [entry.digest] });
  }
  return lacking;
}

/** Manifests that are there; what those lack is noted. */
async function countImages(context: StoreContext, entry: Descriptor, name: string, missing: Digest[], depth: number): Promise<number> {
  const document = await readDocument(context, entry, name).catch(() => undefined);
  if (document === undefined || depth > 4) return 0;
  const { parsed } = document;
  if (parsed.kind === 'index') {
    let images = 0;
    for (const below of parsed.manifests) images += await countImages(context, below, name, missing, depth + 1);
    return images;
  }
  for (const { digest, size, mediaType } of [parsed.config, ...parsed.layers])
    if (!isForeignLayer(mediaType) && !(await hasBlob(context.layout, digest, size))) missing.push(digest);
  return 1;
}
