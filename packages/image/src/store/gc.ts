// Collects what no reference and no running work needs.
import { readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { throwIfAborted } from '../abort.js';
import type { StoreContext } from '../context.js';
import { isDigest } from '../digest.js';
import { parseImageConfig } from '../document/config.js';
import { type Descriptor, parseDocument } from '../document/manifest.js';
import { isImageConfig, kindOf } from '../document/media-types.js';
import { MAX_INDEX_DEPTH, MAX_MANIFEST_BYTES } from '../limits.js';
import { readBlob } from './blobs.js';
import { isMissing, removeTree, storeError } from './files.js';
import type { Layout } from './layout.js';
import { INDEX_LOCK, leased } from './leases.js';
import { withLock } from './lock.js';
import { sweepLeftovers } from './temp.js';

/** What gc() removed. */
export interface GcResult {
  blobs: number;
  layers: number;
  /** Bytes of the removed blobs; unpacked layers are not counted, as that would take longer than removing them. */
  blobBytes: number;
}

interface Marks {
  blobs: Set<string>;
  layers: Set<string>;
}

/**
 * Removes unreferenced blobs and layers. Under the lock they only lose their names, which is quick; the files go afterwards.
 *
 * @param only - Looks at these alone; undefined for everything.
 */
export async function collect(
  context: StoreContext,
  only?: { blobs: ReadonlySet<string>; layers: ReadonlySet<string> },
  signal: AbortSignal = new AbortController().signal,
): Promise<GcResult> {
  const goOn = (): void => throwIfAborted(signal, 'collect garbage in the image store');
  const { layout } = context;
  try {
    goOn();
    const { trash, result } = await withLock(layout.locks, INDEX_LOCK, async () => {
      goOn();
      const marks = await mark(context);
      const wants = (kind: 'blobs' | 'layers') => (digest: string) =>
        !marks[kind].has(digest) && (only === undefined || only[kind].has(digest));
      const blobs = await take(layout, layout.blobs, wants('blobs'));
      const layers = await take(layout, layout.layers, wants('layers'));
      const sizes = await Promise.all(blobs.map(async (file) => (await stat(file)).size));
      return {
        trash: [...blobs, ...layers],
        result: { blobs: blobs.length, layers: layers.length, blobBytes: sizes.reduce((a, b) => a + b, 0) },
      };
    });
    for (const name of trash) {
      goOn();
      await removeTree(name);
    }
    await sweepLeftovers(layout, signal);
    return result;
  } catch (error) {
    throw storeError(error, 'collect garbage in the image store');
  }
}

/** What references and live leases need now. */
export const marksOf = (context: StoreContext): Promise<{ blobs: ReadonlySet<string>; layers: ReadonlySet<string> }> =>
  withLock(context.layout.locks, INDEX_LOCK, () => mark(context));

async function mark(context: StoreContext): Promise<Marks> {
  const marks = await leased(context.layout);
  for (const entry of await context.index.entries()) await markFrom(context.layout, entry, marks, 0);
  return marks;
}

/**
 * Everything below a descriptor. What is missing has nothing below it that could be used; what cannot be read, or was changed
 * on disk, ends the collection: its layers may be in use.
 */
async function markFrom(layout: Layout, descriptor: Descriptor, marks: Marks, depth: number): Promise<void> {
  marks.blobs.add(descriptor.digest);
  const kind = kindOf(descriptor.mediaType);
  if (depth > MAX_INDEX_DEPTH + 1 || (kind !== 'index' && kind !== 'manifest')) return;
  const bytes = await readBlob(layout, descriptor.digest, MAX_MANIFEST_BYTES);
  const document = bytes && parsed(() => parseDocument(bytes, descriptor.mediaType));
  if (document?.kind === 'index') for (const entry of document.manifests) await markFrom(layout, entry, marks, depth + 1);
  if (document?.kind !== 'manifest') return;
  for (const { digest } of [document.config, ...document.layers]) marks.blobs.add(digest);
  if (!isImageConfig(document.config.mediaType)) return;
  const config = await readBlob(layout, document.config.digest, MAX_MANIFEST_BYTES);
  for (const diffId of (config && parsed(() => parseImageConfig(config)))?.diffIds ?? []) marks.layers.add(diffId);
}

function parsed<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Moves what is not wanted into `tmp`, where no reader looks; a crash leaves it to the next sweep. */
async function take(layout: Layout, directory: string, unwanted: (digest: string) => boolean): Promise<string[]> {
  const taken: string[] = [];
  for (const algorithm of await readdir(directory)) {
    for (const entry of await readdir(path.join(directory, algorithm))) {
      // A layer's name may have its form behind a dot.
      const digest = `${algorithm}:${entry.split('.', 1)[0]}`;
      if (!isDigest(digest) || !unwanted(digest)) continue;
      const name = layout.tempName('trash');
      const moved = await rename(path.join(directory, algorithm, entry), name).then(
        () => true,
        (error: unknown) => {
          if (isMissing(error)) return false;
          throw error;
        },
      );
      if (moved) taken.push(name);
    }
  }
  return taken;
}
