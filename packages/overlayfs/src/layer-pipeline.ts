// A compressed layer to a place on disk, hashed and inflated on threads of its own: JavaScript only hands bytes over.
import { AbortError, assertLinux, CleanupError, CtrError, InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { checkCount, checkObject } from './check-options.js';
import { errorOf } from './layer-error.js';
import { checkWriter, type LayerStats, type LayerWriterOptions, WRITER_OPTIONS } from './layer-writer.js';
import { native, type PipelineHandle } from './native.js';

/** Options of {@link openLayerPipeline}. */
export interface LayerPipelineOptions extends LayerWriterOptions {
  /** The blob must have this digest (`sha256:…`); `undefined`: any. */
  digest?: string | undefined;
  /** The blob must have this many bytes; `undefined`: any. */
  size?: number | undefined;
  /** The uncompressed archive must have this digest; `undefined`: any. */
  diffId?: string | undefined;
  /** Uncompressed bytes for each compressed one, counted from 1 GiB on. Default 400. */
  maxRatio?: number | undefined;
  /**
   * What inflates gzip: `'zlib'`, the one that the Node binary brings; `'isa-l'`, Intel's, in about half the time. Default:
   * `'isa-l'` where {@link pipelineDecompressors} names it, else `'zlib'`.
   */
  gzip?: 'isa-l' | 'zlib' | undefined;
}

/** What {@link LayerPipeline.end} reports. */
export interface LayerPipelineStats extends LayerStats {
  /** Of the blob. */
  readonly digest: string;
  /** Bytes of the blob. */
  readonly size: number;
  /** Of the uncompressed archive. */
  readonly diffId: string;
}

const SHA256 = /^sha256:[0-9a-f]{64}$/;

/** One compressed layer on its way. When anything fails, its directory is removed and every further call rejects with the same error. */
export class LayerPipeline {
  readonly #handle: PipelineHandle;
  readonly #doing: string;
  #state: 'open' | 'ended' | 'aborted' = 'open';
  #room: { promise: Promise<void>; resolve: () => void } | undefined;
  #ended: Promise<LayerPipelineStats> | undefined;
  #failure: Error | undefined;

  readonly #expected: { digest?: string; diffId?: string };

  /** @internal Use {@link openLayerPipeline}. */
  constructor(
    make: (drained: () => void) => PipelineHandle,
    directory: string,
    { digest, diffId }: Pick<LayerPipelineOptions, 'digest' | 'diffId'>,
  ) {
    this.#expected = { ...(digest && { digest }), ...(diffId && { diffId }) };
    this.#doing = `write the layer ${JSON.stringify(directory)}`;
    this.#handle = make(() => {
      this.#handle.rest();
      this.#room?.resolve();
      this.#room = undefined;
    });
    this.#handle.open();
  }

  /**
   * Takes the next bytes of the blob, in any split; resolves when there is room for more: about 1 MiB waits here.
   * Damage is told by {@link end}, as it takes the whole blob to say whether it came damaged; until then further bytes are taken and
   * hashed. What makes going on useless is told at once.
   *
   * @throws as {@link end}.
   * @throws {AbortError} ABORT_ERR after abort().
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the chunk is no Uint8Array, or the pipeline was ended.
   */
  async write(chunk: Uint8Array): Promise<void> {
    if (!(chunk instanceof Uint8Array)) throw new InvalidArgumentError('chunk', 'a Uint8Array', chunk);
    if (this.#state === 'aborted') throw new AbortError(this.#doing, undefined);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#state !== 'open') throw new InvalidArgumentError('pipeline', 'open when write() is called', this.#state);
    const more = this.#handle.write(chunk);
    if (more) return;
    if (more === undefined) {
      await this.end();
      return;
    }
    this.#room ??= waiting();
    await this.#room.promise;
  }

  /**
   * The blob is over: resolves when it is verified and the layer complete on the disk. Reports what it was.
   *
   * @throws {ImageError} CTR_IMAGE_DIGEST_MISMATCH when the blob or what is in it is not what it should be; CTR_IMAGE_INVALID,
   * CTR_IMAGE_LIMIT as `LayerWriter.write`.
   * @throws {SyscallError} with the errno's name as code, such as ENOSPC.
   */
  end(): Promise<LayerPipelineStats> {
    if (this.#state === 'aborted') return Promise.reject(new AbortError(this.#doing, undefined));
    this.#state = 'ended';
    this.#ended ??= this.#end();
    return this.#ended;
  }

  /** Uncompressed bytes that were made of the blob so far. */
  get unpackedBytes(): number {
    return this.#handle.unpacked();
  }

  /** Stops and removes the directory; resolves when it is gone. After a successful {@link end} it does nothing. */
  async abort(): Promise<void> {
    if (this.#state === 'open') this.#state = 'aborted';
    this.#room?.resolve();
    await this.#ended?.catch(() => undefined);
    await this.#handle.abort().catch((e) => {
      throw errorOf(e, this.#doing);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.abort();
  }

  async #end(): Promise<LayerPipelineStats> {
    try {
      return await this.#handle.end();
    } catch (e) {
      this.#failure = errorOf(e, this.#doing, this.#expected);
    }
    const failure = this.#failure;
    await this.#handle.abort().catch((e) => {
      if (failure instanceof CtrError) failure.cleanup = [new CleanupError('the unfinished layer', [errorOf(e, this.#doing)])];
    });
    throw failure;
  }
}

function waiting(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((r) => {
    resolve = r;
  });
  return { promise, resolve };
}

/** What reads compressed layers in this process. */
export interface Decompressors {
  /** `undefined`: {@link openLayerPipeline} does not work here, use `openLayerWriter` and `node:zlib`. */
  readonly gzip: 'isa-l' | 'zlib' | undefined;
  readonly zstd: 'libzstd' | undefined;
}

/**
 * Says which compressions {@link openLayerPipeline} reads here, and by what: gzip by ISA-L where the addon was built with its static
 * library or the system has libisal.so.2 (Debian: `libisal2`), else by the zlib of the Node binary; zstd where the system has libzstd.so.1.
 *
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @example
 * ```ts
 * const { zstd } = pipelineDecompressors()
 * ```
 */
export function pipelineDecompressors(): Decompressors {
  assertLinux('the layer pipeline');
  const { gzip, zstd, sha256 } = native().decompressors();
  const found = <N extends string>(name: N | 'none'): N | undefined => (name === 'none' || !sha256 ? undefined : name);
  return { gzip: found(gzip), zstd: found(zstd) };
}

/**
 * Like `openLayerWriter`, but for a layer's blob as a registry gives it: compressed by gzip, zstd or not at all, told by its first
 * bytes. Two threads of its own hash and inflate, hash again, read the archive and write; the event loop only copies.
 * Nothing is published unless digest, size and diffID are as given.
 *
 * @remarks Memory: about 4 MiB for each layer on its way, and the archive's index.
 * @param directory - As for `openLayerWriter`.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an option is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux, and for `gzip: 'isa-l'` without it.
 * @example
 * ```ts
 * await using layer = openLayerPipeline('/layers/1', { form: 'erofs', userxattr: false, digest: descriptor.digest })
 * for await (const chunk of response.body) await layer.write(chunk)
 * const { diffId } = await layer.end()
 * ```
 */
export function openLayerPipeline(directory: string, options: LayerPipelineOptions): LayerPipeline {
  checkObject(options, 'options', [...WRITER_OPTIONS, 'digest', 'size', 'diffId', 'maxRatio', 'gzip']);
  const o = options as LayerPipelineOptions;
  const { form, userxattr, sync, limits } = checkWriter(directory, o);
  for (const key of ['digest', 'diffId'] as const)
    if (o[key] !== undefined && !SHA256.test(o[key])) throw new InvalidArgumentError(key, '"sha256:" and 64 hexadecimal digits', o[key]);
  if (o.size !== undefined) checkCount(o.size, 'size', 'bytes');
  if (o.maxRatio !== undefined) checkCount(o.maxRatio, 'maxRatio', 'bytes');
  if (o.gzip !== undefined && o.gzip !== 'isa-l' && o.gzip !== 'zlib') throw new InvalidArgumentError('gzip', '"isa-l" or "zlib"', o.gzip);
  assertLinux('the layer pipeline');
  const { PipelineHandle, decompressors } = native();
  if (o.gzip === 'isa-l' && decompressors().gzip !== 'isa-l')
    throw new UnsupportedError('inflating by ISA-L', 'libisal.so.2', undefined, {
      hint: 'install it (Debian: libisal2), or leave the option out',
    });
  const [digest, size, diffId] = [o.digest ?? '', o.size ?? 0, o.diffId ?? ''];
  return new LayerPipeline(
    (drained) =>
      new PipelineHandle(directory, form, userxattr, sync, limits, o.maxRatio ?? 400, digest, size, diffId, o.gzip === 'zlib', drained),
    directory,
    o,
  );
}
