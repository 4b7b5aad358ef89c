// Brings layers into the store, as blobs and as unpacked trees: from a registry, or from blobs that are there already.
import { unlink } from 'node:fs/promises';
import { CleanupError, ImageError } from '@ctr/internal/errors';
import { type Emit, inParallel, type Remote, type StoreContext } from './context.js';
import type { Image, ImageLayer } from './image.js';
import type { UnpackLimits } from './limits.js';
import { BlobWriter, hasBlob, readBatches } from './store/blobs.js';
import { storeError } from './store/files.js';
import { isUnpacked, LayerTarget } from './store/layer-trees.js';
import type { Layout } from './store/layout.js';
import type { Compression } from './unpack/decompress.js';
import { runLayer } from './unpack/layer.js';
import type { LayerSink } from './unpack/layer-sink.js';

/** Layers at once: one inflates while another waits for the network or the disk. */
const PARALLEL_LAYERS = 2;

export interface LayerWork {
  context: StoreContext;
  /** Undefined: nothing is fetched, a missing blob is an error. */
  remote: Remote | undefined;
  /** Undefined: blobs only. */
  sink: LayerSink | undefined;
  limits: Required<UnpackLimits>;
  reference: string;
}

/** What a layer lacks. A blob is needed to unpack, and when pulling, so that the store stays an image layout that other tools read. */
async function lacks(layer: ImageLayer, work: LayerWork): Promise<{ blob: boolean; tree: boolean }> {
  const { layout } = work.context;
  const { sink } = work;
  const [unpacked, stored] = await Promise.all([
    sink === undefined || isUnpacked(layout, layer.diffId, sink.form),
    hasBlob(layout, layer.digest, layer.size),
  ]);
  return { blob: (!unpacked || work.remote !== undefined) && !stored, tree: !unpacked };
}

/** True when nothing would have to be fetched or unpacked. */
export async function isComplete(image: Image, context: StoreContext, sink: LayerSink | undefined): Promise<boolean> {
  const checks = image.layers.map((layer) =>
    sink === undefined ? hasBlob(context.layout, layer.digest, layer.size) : isUnpacked(context.layout, layer.diffId, sink.form),
  );
  return (await Promise.all(checks)).every(Boolean);
}

/** Makes all layers of an image present, the largest first. */
export async function ensureLayers(image: Pick<Image, 'layers'>, work: LayerWork, signal: AbortSignal, emit: Emit): Promise<void> {
  const unique = [...new Map(image.layers.map((layer) => [`${layer.digest} ${layer.diffId}`, layer])).values()];
  unique.sort((a, b) => b.size - a.size);
  await inParallel(unique, PARALLEL_LAYERS, signal, (layer, stop) => ensureLayer(layer, work, stop, emit));
}

/** Does what the layer lacks, or waits for whoever does it already; tries itself when that one failed. */
async function ensureLayer(layer: ImageLayer, work: LayerWork, signal: AbortSignal, emit: Emit): Promise<void> {
  const { flights } = work.context;
  for (let healed = false; ; ) {
    const missing = await lacks(layer, work);
    if (!missing.blob && !missing.tree) break;
    if (missing.blob && work.remote === undefined) throw blobMissing(layer, work.reference);
    const key = missing.tree ? `layer ${layer.diffId} ${work.sink?.form ?? ''}` : `blob ${layer.digest}`;
    const caller = { signal, what: `pull ${work.reference}`, listener: emit };
    const { led, outcome } = await flights.run(key, caller, (stop, tell) => obtain(layer, missing, work, stop, tell));
    // Led by this call, it has brought all that was missing; led by another, perhaps less.
    if (outcome.status === 'fulfilled' && led) break;
    if (outcome.status === 'fulfilled' || !led) continue;
    // A mirror that gave something else is passed over, and the layer is begun anew from the next place.
    if (missing.blob && outcome.reason instanceof ImageError && !signal.aborted && work.remote?.distrust()) continue;
    if (healed || missing.blob || !(await dropDamagedBlob(outcome.reason, layer, work))) throw outcome.reason;
    healed = true;
  }
  emit({ type: 'done', digest: layer.digest, bytes: layer.size, total: layer.size });
}

const blobMissing = (layer: ImageLayer, reference: string): ImageError =>
  new ImageError(
    'CTR_IMAGE_NOT_FOUND',
    `the layer ${layer.digest} of ${reference} is not in the store`,
    { reference, digest: layer.digest },
    { hint: 'pull the image again' },
  );

/** A stored blob whose content is not its name any more is removed; with a registry at hand it is then fetched anew. */
async function dropDamagedBlob(error: unknown, layer: ImageLayer, work: LayerWork): Promise<boolean> {
  if (!(error instanceof ImageError) || error.code !== 'CTR_IMAGE_DIGEST_MISMATCH' || error.digest !== layer.digest) return false;
  await unlink(work.context.layout.blob(layer.digest)).catch(() => undefined);
  return work.remote !== undefined;
}

/** Runs one layer through and publishes what came of it, or removes everything. */
async function obtain(
  layer: ImageLayer,
  missing: { blob: boolean; tree: boolean },
  work: LayerWork,
  signal: AbortSignal,
  emit: Emit,
): Promise<void> {
  const { layout } = work.context;
  const { digest, size, diffId } = layer;
  const blob = missing.blob ? await BlobWriter.create(layout) : undefined;
  let target: LayerTarget | undefined;
  try {
    const { limits, sink } = work;
    const unpack = missing.tree &&
      sink !== undefined && {
        open: async (compression: Compression): Promise<LayerTarget> => {
          target = await LayerTarget.open(layout, sink, { digest, size, diffId, compression, limits });
          return target;
        },
        diffId,
        limits,
        onBytes: (bytes: number): void => emit({ type: 'unpack', digest, bytes, total: undefined }),
      };
    await runLayer({
      source: (stop) => sourceOf(layer, missing.blob ? work.remote : undefined, layout, stop),
      digest,
      size,
      blob,
      unpack: unpack || undefined,
      onBytes: (bytes) => missing.blob && emit({ type: 'download', digest, bytes, total: size }),
      signal,
    });
    for (const published of await Promise.allSettled([blob?.publish(digest), target?.publish(diffId)]))
      if (published.status === 'rejected') throw published.reason;
  } catch (error) {
    throw await undo(storeError(error, `unpack the layer ${digest}`), [async () => target?.abort(), async () => blob?.abort()]);
  }
}

function sourceOf(layer: ImageLayer, remote: Remote | undefined, layout: Layout, signal: AbortSignal): AsyncIterable<Uint8Array[]> {
  return remote === undefined ? readBatches(layout.blob(layer.digest)) : remote.blob(layer, signal);
}

/** The first error stays the first; what failed while clearing up is attached to it. */
async function undo(error: unknown, steps: (() => Promise<unknown>)[]): Promise<unknown> {
  const failures: Error[] = [];
  for (const step of steps) await step().catch((e: Error) => failures.push(e));
  if (failures.length > 0 && error instanceof Error)
    (error as { cleanup?: Error[] }).cleanup = [new CleanupError('an unfinished layer', failures)];
  return error;
}
