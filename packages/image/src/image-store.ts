// The store as its users see it: options are checked here, the work is done elsewhere.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { contextFor, type Emit, type PullProgress, type StoreContext } from './context.js';
import { checkConfig, createImage } from './create.js';
import { isDigest } from './digest.js';
import type { ImageConfig } from './document/config.js';
import { findImage, readImage } from './find.js';
import type { Image } from './image.js';
import { ensureLayers } from './layers.js';
import type { UnpackLimits } from './limits.js';
import { loadImages } from './load/load.js';
import { checkOptions, checks, REGISTRY_CHECKS, type RegistryOptions, settle } from './options.js';
import { parsePlatform } from './platform.js';
import { type PullWork, pullImage, pullKey } from './pull.js';
import { type PushResult, pushImage } from './push.js';
import { parseReference } from './reference.js';
import { collect, type GcResult } from './store/gc.js';
import { REF_NAME } from './store/index-file.js';
import { listTrees } from './store/layer-trees.js';
import { defaultRoot, openLayout } from './store/layout.js';
import { Lease } from './store/leases.js';
import { sweepLeftovers } from './store/temp.js';
import type { LayerSink } from './unpack/layer-sink.js';

/** What pulling and unpacking have in common. */
export interface UnpackOptions {
  /** Bounds on each layer; see `UnpackLimits` for the defaults. */
  limits?: UnpackLimits;
  /** Stops the work; the promise rejects with an AbortError once everything unfinished has been removed. */
  signal?: AbortSignal;
  /** Called as the work moves on; many times a second. */
  onProgress?: (progress: PullProgress) => void;
}

export interface PullOptions extends RegistryOptions, UnpackOptions {
  /** `missing` (default) asks the registry only for what the store lacks, `always` looks whether the tag has moved, `never` makes no request. */
  policy?: 'missing' | 'always' | 'never';
  /** Such as `linux/arm64`. Default: this machine's. */
  platform?: string;
  /** Fetches the images of all platforms that the reference names, to save or push them on; only this platform's is unpacked. Default false. */
  allPlatforms?: boolean;
  /** Unpacks the layers while they arrive. `undefined`: only blobs are fetched and verified, `unpack` can follow. */
  sink?: LayerSink;
}

export interface PushOptions extends RegistryOptions {
  /** The name it gets in its registry. Default: its name in the store. */
  as?: string;
  /**
   * Pushes the image for this platform alone, such as `linux/arm64`. Default: all platforms when the store has them all, else this
   * machine's; the result's `digest` tells which.
   */
  platform?: string;
  /** Repositories of the same registry that may have its blobs, such as `library/debian`; those of the store's other images are known. */
  mountFrom?: string[];
  /** Blobs larger than this many bytes go in pieces, each repeated alone when the connection breaks. Default 32 MiB. */
  chunkBytes?: number;
  /** Stops the work; the upload under way is taken back. */
  signal?: AbortSignal;
  /** Called as the work moves on; many times a second. */
  onProgress?: (progress: PullProgress) => void;
}

export interface LoadOptions {
  /** Name for the image, when the file holds one only or its entries have no full name. Default: the name in the file, else `localhost/<file name>`. */
  reference?: string;
  /** Which image of an index is loaded. Default: this machine's. */
  platform?: string;
  limits?: UnpackLimits;
  signal?: AbortSignal;
}

export interface CreateOptions {
  /** The name it gets in the store. */
  reference: string;
  /** Tar streams, bottom first, such as `packTar` makes. */
  layers: AsyncIterable<Uint8Array>[];
  /** How the image wants to be run. Default: nothing set. */
  config?: ImageConfig;
  /** Default: this machine's. */
  platform?: string;
  /** RFC 3339. Default `1970-01-01T00:00:00Z`, so that the digest depends on the content only. */
  created?: string;
  /** `gzip` (default, level 1) for images that will travel; `none` is many times faster. */
  compression?: 'gzip' | 'none';
  /** Unpacks the layers in the same pass. `undefined`: `unpack` can follow. */
  sink?: LayerSink;
  signal?: AbortSignal;
}

const UNPACK_CHECKS = { limits: checks.limits, signal: checks.signal, onProgress: checks.function };
const PULL_CHECKS = {
  ...REGISTRY_CHECKS,
  ...UNPACK_CHECKS,
  policy: checks.oneOf('missing', 'always', 'never'),
  platform: checks.platform,
  allPlatforms: checks.boolean,
  sink: checks.sink,
};
const PUSH_CHECKS = {
  ...REGISTRY_CHECKS,
  as: checks.string,
  platform: checks.platform,
  mountFrom: checks.strings,
  chunkBytes: checks.integer(1, Number.MAX_SAFE_INTEGER),
  signal: checks.signal,
  onProgress: checks.function,
};
const LOAD_CHECKS = { reference: checks.string, platform: checks.platform, limits: checks.limits, signal: checks.signal };

/**
 * A store of images: an OCI image layout directory that other tools read too, and beside it the unpacked layers.
 *
 * Several processes may use one store at a time. Within a process, pulls of the same thing share their work. Everything that
 * comes in is verified before it gets its name, and nothing unfinished is left behind, not even by `kill -9`: the next
 * process that opens the store clears it away.
 *
 * @example
 * ```ts
 * const store = await ImageStore.open()
 * const image = await store.pull('debian:12', { sink: { open: (dir) => openLayerWriter(dir, { userxattr: false }) } })
 * const layers = await store.unpack(image, sink) // directories, top first: overlayfs's lower layers
 * ```
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export class ImageStore {
  /** The directory of the store. */
  readonly root: string;
  readonly #context: StoreContext;

  private constructor(context: StoreContext) {
    this.root = context.layout.root;
    this.#context = context;
  }

  /**
   * Opens a store, making it when it is not there.
   *
   * @param options.root - Its directory. Default: CTR_ROOT, else `/var/lib/ctr` for root, else `$XDG_DATA_HOME/ctr` or `~/.local/share/ctr`.
   * All directories get the mode 0700: images hold setuid programs that no other user of the host may reach.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the directory holds something else.
   * @throws {SyscallError} when it cannot be made or written.
   * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
   */
  static async open(options: { root?: string } = {}): Promise<ImageStore> {
    assertLinux('the image store');
    checkOptions(options, 'options', { root: checks.string });
    const layout = await openLayout(options.root ?? defaultRoot());
    await sweepLeftovers(layout);
    return new ImageStore(contextFor(layout));
  }

  /**
   * Gets an image: from the store when it is complete there, else what is lacking from its registry.
   *
   * @param reference - Such as `debian:12`, `ghcr.io/owner/app@sha256:…` or `localhost:5000/app`.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND, CTR_IMAGE_AUTH, CTR_IMAGE_REGISTRY (it cannot be reached, or answers nonsense),
   * CTR_IMAGE_DIGEST_MISMATCH, CTR_IMAGE_PLATFORM (it names what there is), CTR_IMAGE_INVALID, CTR_IMAGE_LIMIT.
   * @throws {SyscallError} such as ENOSPC; what the pull had stored is removed again.
   * @throws {AbortError} ABORT_ERR when the signal fired.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT, before anything is done.
   */
  async pull(reference: string, options: PullOptions = {}): Promise<Image> {
    const parsed = parseReference(reference);
    checkOptions(options, 'options', PULL_CHECKS);
    const { policy = 'missing', allPlatforms = false, sink, onProgress, ...rest } = options;
    const settled = settle(options);
    const work: PullWork = { ...rest, ...settled, context: this.#context, reference: parsed, policy, sink, allPlatforms };
    const caller = { signal: settled.signal, what: `pull ${parsed.name}`, listener: listenerOf(onProgress) };
    const { outcome } = await this.#context.flights.run(pullKey(work), caller, (signal, emit) => pullImage(work, signal, emit));
    if (outcome.status === 'rejected') throw outcome.reason;
    return outcome.value;
  }

  /**
   * Pushes an image of the store to a registry: blobs that are there are left alone or mounted from other repositories, the rest is
   * uploaded, three at a time; manifests follow byte for byte, the name comes last.
   *
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND when the store lacks the image or a part of it, CTR_IMAGE_AUTH, CTR_IMAGE_REGISTRY.
   * @throws {AbortError} ABORT_ERR when the signal fired.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT, before anything is done.
   * @example
   * ```ts
   * const { digest } = await store.push('localhost:5000/app:1')
   * await store.push('app', { as: 'ghcr.io/owner/app:latest', auth: { username, password: token } })
   * ```
   * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#push
   */
  async push(reference: string, options: PushOptions = {}): Promise<PushResult> {
    const from = parseReference(reference);
    checkOptions(options, 'options', PUSH_CHECKS);
    const to = options.as === undefined ? from : parseReference(options.as, 'options.as');
    const mountFrom = (options.mountFrom ?? []).map(
      (name, i) => parseReference(`${to.registry}/${name}`, `options.mountFrom[${i}]`).repository,
    );
    const { onProgress, chunkBytes = 32 * 2 ** 20, platform, ...rest } = options;
    const only = platform === undefined ? undefined : parsePlatform(platform);
    const work = { ...rest, ...settle(options), context: this.#context, from, to, only, chunkBytes, mountFrom };
    return pushImage(work, listenerOf(onProgress));
  }

  /**
   * Finds an image in the store; makes no request.
   *
   * @returns `undefined` when the store lacks it, or has it for other platforms only.
   * @throws {ImageError} CTR_IMAGE_DIGEST_MISMATCH when its description was changed on disk; pulling again heals it.
   */
  async find(reference: string, options: { platform?: string } = {}): Promise<Image | undefined> {
    const parsed = parseReference(reference);
    checkOptions(options, 'options', { platform: checks.platform });
    return findImage(this.#context, parsed, settle(options).wanted);
  }

  /** All images of the store for this machine's platform, or the given one; in the order in which they came. */
  async list(options: { platform?: string } = {}): Promise<Image[]> {
    checkOptions(options, 'options', { platform: checks.platform });
    const { wanted } = settle(options);
    const entries = await this.#context.index.entries();
    const images = await Promise.all(
      // An entry that another tool made may be anything: it is no image of ours, and no reason to show none.
      entries.map((entry) => readImage(this.#context, entry.annotations[REF_NAME] ?? entry.digest, entry, wanted).catch(() => undefined)),
    );
    return images.filter((image) => image !== undefined);
  }

  /**
   * Drops a reference. Blobs and layers stay until `gc()`; what other references or running work need stays after it.
   *
   * @returns False when there was no such reference.
   */
  async remove(reference: string): Promise<boolean> {
    return this.#context.index.delete(parseReference(reference).name);
  }

  /**
   * Removes blobs and unpacked layers that no reference, no lease and no running pull needs.
   * Containers that run on a layer must hold a `lease` on its image.
   */
  async gc(): Promise<GcResult> {
    return collect(this.#context);
  }

  /** Keeps an image's blobs and layers from `gc()` until released; ends by itself when this process does. */
  async lease(image: Image): Promise<Lease> {
    checkImage(image);
    const lease = new Lease(this.#context.layout);
    await lease.add({
      blobs: [image.root, image.digest, image.configDigest, ...image.layers.map((l) => l.digest)],
      layers: image.layers.map((l) => l.diffId),
    });
    return lease;
  }

  /**
   * Loads saved images: an OCI image layout (directory or tar file), or what `docker save` writes; gzip or zstd around the tar is undone.
   *
   * @throws {ImageError} as `pull` does, without the registry's codes.
   * @throws {SyscallError} when the file cannot be read or the store not be written.
   */
  async load(file: string, options: LoadOptions = {}): Promise<Image[]> {
    checks.string(file, 'file');
    checkOptions(options, 'options', LOAD_CHECKS);
    const reference = options.reference === undefined ? undefined : parseReference(options.reference, 'options.reference');
    return loadImages({ ...settle(options), context: this.#context, file, reference });
  }

  /**
   * Makes an image out of tar streams.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for options that no image can have.
   * @throws {SyscallError} when the store cannot be written.
   */
  async create(options: CreateOptions): Promise<Image> {
    checkOptions(options, 'options', CREATE_CHECKS);
    CREATE_CHECKS.layers(options.layers, 'options.layers');
    const reference = parseReference(options.reference, 'options.reference');
    if (reference.digest !== undefined)
      throw new InvalidArgumentError('options.reference', 'a name with a tag: the digest follows from the content', options.reference);
    const config = checkConfig(options.config, 'options.config');
    const { layers, created = '1970-01-01T00:00:00Z', compression = 'gzip', sink } = options;
    return createImage({ ...settle(options), context: this.#context, reference, layers, config, created, compression, sink });
  }

  /**
   * Unpacks an image's layers where that is not done yet.
   *
   * @returns The layers' directories, TOP FIRST, as overlayfs takes them. They are shared between images: never write into them.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND when a blob is missing, CTR_IMAGE_DIGEST_MISMATCH, CTR_IMAGE_INVALID, CTR_IMAGE_LIMIT.
   */
  async unpack(image: Image, sink: LayerSink, options: UnpackOptions = {}): Promise<string[]> {
    checkImage(image);
    checks.sink(sink, 'sink');
    checkOptions(options, 'options', UNPACK_CHECKS);
    const { signal, limits } = settle(options);
    const work = { context: this.#context, remote: undefined, sink, limits, reference: image.reference };
    await ensureLayers(image, work, signal, listenerOf(options.onProgress));
    return listTrees(
      this.#context.layout,
      image.layers.map((layer) => layer.diffId),
      sink.form,
    );
  }
}

const CREATE_CHECKS = {
  reference: checks.string,
  layers: (v: unknown, path: string) => {
    if (!Array.isArray(v) || !v.every((l) => typeof (l as AsyncIterable<Uint8Array>)?.[Symbol.asyncIterator] === 'function'))
      throw new InvalidArgumentError(path, 'an array of async iterables of Uint8Array', v);
  },
  config: () => undefined,
  platform: checks.platform,
  created: (v: unknown, path: string) => {
    if (typeof v !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(v))
      throw new InvalidArgumentError(path, 'a time like "2026-01-31T12:00:00Z"', v);
  },
  compression: checks.oneOf('gzip', 'none'),
  sink: checks.sink,
  signal: checks.signal,
};

/** SECURITY: its digests become paths, so an object that only looks like an image must not get through. */
function checkImage(image: Image): void {
  const layers = Array.isArray(image?.layers) ? image.layers : undefined;
  const digests = [image?.digest, image?.root, image?.configDigest, ...(layers ?? []).flatMap((l) => [l?.digest, l?.diffId])];
  if (layers === undefined || !digests.every(isDigest))
    throw new InvalidArgumentError('image', 'an image that this package returned', image);
}

/** What a progress callback throws is the callback's own affair: it must not end a download that others wait for as well. */
function listenerOf(callback: ((progress: PullProgress) => void) | undefined): Emit {
  return (progress) => {
    try {
      callback?.(progress);
    } catch (error) {
      queueMicrotask(() => {
        throw error;
      });
    }
  };
}
