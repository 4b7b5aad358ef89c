// What @ctr/image asks of whoever makes layers out of images, without either package knowing the other.
import { type LayerPipeline, type LayerPipelineOptions, openLayerPipeline, pipelineDecompressors } from './layer-pipeline.js';
import { type LayerWriter, type LayerWriterOptions, openLayerWriter } from './layer-writer.js';

/** A blob as `LayerSink.openBlob` of `@ctr/image` describes it. */
export interface SinkBlob {
  readonly digest: string;
  readonly size: number;
  readonly diffId: string;
  readonly compression: 'gzip' | 'zstd' | 'none';
  readonly limits: { readonly maxLayerBytes: number; readonly maxRatio: number };
}

/** Options of {@link layerSink}. */
export type LayerSinkOptions = LayerWriterOptions & Pick<LayerPipelineOptions, 'gzip'>;

/** What {@link layerSink} makes; fits `LayerSink` of `@ctr/image`. */
export interface OverlayLayerSink {
  /** `'erofs'`, `'user'` for trees with `user.overlay.*` marks, `undefined` for trees with `trusted.overlay.*`. */
  readonly form?: 'erofs' | 'user';
  open(directory: string): LayerWriter;
  openBlob(directory: string, blob: SinkBlob): LayerPipeline | undefined;
}

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/**
 * Makes the `LayerSink` through which a store of `@ctr/image` puts its layers on the disk: compressed layers go over native threads
 * ({@link openLayerPipeline}) wherever these can read them, everything else through {@link openLayerWriter}.
 *
 * @remarks The store keeps layers of different forms apart. Limits of `pull` and `unpack` bound the size of a layer; those given here
 * bound all else.
 * @param options - As for {@link openLayerWriter} and {@link openLayerPipeline}.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT, when the first layer is opened, if an option is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED, likewise, on another system than Linux.
 * @example
 * ```ts
 * const { form } = await chooseLayerForm(store.root)
 * const sink = layerSink({ form, userxattr: process.geteuid?.() !== 0 })
 * const layers = await store.unpack(await store.pull('debian:12', { sink }), sink)
 * ```
 */
export function layerSink(options: LayerSinkOptions): OverlayLayerSink {
  const { gzip: _, ...written } = options;
  const form = options.form === 'erofs' ? 'erofs' : options.userxattr ? 'user' : undefined;
  return {
    ...(form && { form }),
    open: (directory) => openLayerWriter(directory, written),
    openBlob: (directory, blob) => {
      if (!readable(blob)) return undefined;
      const { digest, size, diffId, limits } = blob;
      const bytes = Math.min(limits.maxLayerBytes, options.limits?.bytes ?? limits.maxLayerBytes);
      return openLayerPipeline(directory, {
        ...options,
        digest,
        size,
        diffId,
        maxRatio: limits.maxRatio,
        limits: { ...options.limits, bytes },
      });
    },
  };
}

/** The threads hash by SHA-256 only, and zstd takes a library that not every host has. */
function readable({ digest, diffId, compression }: SinkBlob): boolean {
  if (!SHA256.test(digest) || !SHA256.test(diffId)) return false;
  const { gzip, zstd } = pipelineDecompressors();
  return { gzip, zstd, none: gzip }[compression] !== undefined;
}
