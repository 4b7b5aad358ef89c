// The store as its users see it: options are checked here, the work is done elsewhere.
import { assertLinux, ImageError, InvalidArgumentError } from '@ctr/internal/errors';
import { throwIfAborted } from './abort.js';
import { commitImage } from './commit.js';
import { contextFor, type Emit, type PullProgress, type StoreContext } from './context.js';
import { checkConfig, createImage } from './create.js';
import { isDigest } from './digest.js';
import { findImage, readImage } from './find.js';
import { flattenImage } from './flatten/flatten.js';
import type { Image, ImageLayer } from './image.js';
import {
  COMMIT_CHECKS,
  type CommitOptions,
  CREATE_CHECKS,
  type CreateOptions,
  checkPlatforms,
  EPOCH,
  IMPORT_CHECKS,
  type ImportOptions,
  isStream,
  LOAD_CHECKS,
  type LoadOptions,
  newName,
  PULL_CHECKS,
  PUSH_CHECKS,
  type PullOptions,
  type PushOptions,
  READ_CHECKS,
  type ReadOptions,
  SAVE_CHECKS,
  type SaveOptions,
  UNPACK_CHECKS,
  type UnpackOptions,
} from './image-store-options.js';
import { importedTar } from './import.js';
import { type LayerEntry, layerEntries } from './layer-entries.js';
import { ensureLayers } from './layers.js';
import { loadImages, type SkippedEntry } from './load/load.js';
import { checkCompression } from './make-layer.js';
import { checkOptions, checks, settle } from './options.js';
import { parsePlatform } from './platform.js';
import { type PullWork, pullImage, pullKey } from './pull.js';
import { type PushResult, pushImage } from './push.js';
import { parseReference } from './reference.js';
import { saveArchive, saveDirectory, saveStream } from './save.js';
import { collect, type GcResult } from './store/gc.js';
import { REF_NAME } from './store/index-file.js';
import { listTrees } from './store/layer-trees.js';
import { defaultRoot, openLayout } from './store/layout.js';
import { Lease } from './store/leases.js';
import { sweepLeftovers } from './store/temp.js';
import { type StoreUsage, usageOf } from './store/usage.js';
import { type VerifyResult, verifyStore } from './store/verify.js';
import type { LayerSink } from './unpack/layer-sink.js';

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
 * const sink = layerSink({ userxattr: false }) // of @ctr/overlayfs
 * const image = await store.pull('debian:12', { sink })
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
   * @param options.signal - Stops the opening, and the clearing away of what dead processes left.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the directory holds something else.
   * @throws {SyscallError} when it cannot be made or written.
   * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
   */
  static async open(options: { root?: string; signal?: AbortSignal } = {}): Promise<ImageStore> {
    assertLinux('the image store');
    checkOptions(options, 'options', { root: checks.string, signal: checks.signal });
    const { signal } = settle(options);
    throwIfAborted(signal, 'open the image store');
    const layout = await openLayout(options.root ?? defaultRoot());
    await sweepLeftovers(layout, signal);
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
    checkPlatforms(options);
    const to = options.as === undefined ? from : parseReference(options.as, 'options.as');
    const mountFrom = (options.mountFrom ?? []).map(
      (name, i) => parseReference(`${to.registry}/${name}`, `options.mountFrom[${i}]`).repository,
    );
    const { onProgress, chunkBytes, platform, allPlatforms = false, ...rest } = options;
    const only = platform === undefined ? undefined : parsePlatform(platform);
    const work = { ...rest, ...settle(options), context: this.#context, from, to, only, allPlatforms, chunkBytes, mountFrom };
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
   *
   * @param options.signal - Stops it. What has lost its name by then is removed by the next `gc()` or the next process.
   */
  async gc(options: { signal?: AbortSignal } = {}): Promise<GcResult> {
    checkOptions(options, 'options', { signal: checks.signal });
    return collect(this.#context, undefined, settle(options).signal);
  }

  /**
   * Keeps an image's blobs and layers from `gc()` until released; ends by itself when this process does.
   *
   * @param options.signal - Stops the wait for the store; a lease that was given stays until it is released.
   */
  async lease(image: Image, options: { signal?: AbortSignal } = {}): Promise<Lease> {
    checkImage(image);
    checkOptions(options, 'options', { signal: checks.signal });
    const { signal } = settle(options);
    throwIfAborted(signal, 'lease an image');
    const lease = new Lease(this.#context.layout);
    await lease.add({
      blobs: [image.root, image.digest, image.configDigest, ...image.layers.map((l) => l.digest)],
      layers: image.layers.map((l) => l.diffId),
    });
    if (signal.aborted) {
      await lease.release();
      throwIfAborted(signal, 'lease an image');
    }
    return lease;
  }

  /**
   * Loads saved images: an OCI image layout (directory or tar file), or what `docker save` writes; gzip or zstd around the tar is undone.
   * What the file has for other platforms comes along, so that it can be saved or pushed on. An entry that is no container image, such as a
   * signature or a chart, is passed over.
   *
   * @returns The images for the wanted platform.
   * @throws {ImageError} as `pull` does, without the registry's codes.
   * @throws {SyscallError} when the file cannot be read or the store not be written.
   */
  async load(file: string, options: LoadOptions = {}): Promise<Image[]> {
    checks.string(file, 'file');
    checkOptions(options, 'options', LOAD_CHECKS);
    const reference = options.reference === undefined ? undefined : parseReference(options.reference, 'options.reference');
    const { platform, allPlatforms, onSkip = warnOfSkipped } = options;
    const extent = allPlatforms === undefined ? (platform === undefined ? 'held' : 'wanted') : allPlatforms ? 'whole' : 'wanted';
    return loadImages({ ...settle(options), context: this.#context, file, reference, extent, onSkip });
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
    const reference = newName(options.reference);
    const config = checkConfig(options.config, 'options.config');
    const { layers, created = EPOCH, compression = 'gzip', compressor, annotations = {}, sink } = options;
    checkCompression(compression);
    const making = { context: this.#context, reference, created, compression, compressor, annotations, sink };
    return createImage({ ...settle(options), ...making, layers, config });
  }

  /**
   * Makes an image of one layer out of a root file system: a folder, a tar file (also compressed, as `docker export` writes it), or a
   * tar stream.
   *
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for options that no image can have.
   * @throws {SyscallError} when the source cannot be read or the store not be written.
   * @example
   * ```ts
   * await store.import('./rootfs', { reference: 'localhost/mine:1', config: { Cmd: ['/bin/sh'] }, owner: { uid: 0, gid: 0 } })
   * await store.import('./rootfs', { reference: 'localhost/mine:1', pack: packDirectory }) // of @ctr/overlayfs: with extended attributes
   * ```
   */
  async import(source: string | AsyncIterable<Uint8Array>, options: ImportOptions): Promise<Image> {
    if (typeof source === 'string') checks.string(source, 'source');
    else if (!isStream(source)) throw new InvalidArgumentError('source', 'a path or an async iterable of Uint8Array', source);
    checkOptions(options, 'options', IMPORT_CHECKS);
    const { owner, mtime, pack, ...rest } = options;
    return this.create({ ...rest, layers: [await importedTar(source, { owner, mtime }, pack)] });
  }

  /**
   * Makes an image out of another one: with a layer of changes on top, another config, or both. Layers and history of the base stay, and
   * so do fields of its config that this package does not know.
   *
   * @param base - An image of this store, or its reference.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND when the store lacks the base or a part of it, CTR_IMAGE_LIMIT for more than 500 layers.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for options that no image can have.
   * @example
   * ```ts
   * await store.commit('debian:12', { reference: 'localhost/app:1', changes: packTar(entries), config: { Cmd: ['/app'], User: '1000' } })
   * ```
   */
  async commit(base: Image | string, options: CommitOptions): Promise<Image> {
    checkOptions(options, 'options', COMMIT_CHECKS);
    const reference = newName(options.reference);
    const {
      changes,
      config = {},
      created = EPOCH,
      author,
      message,
      compression = 'gzip',
      compressor,
      annotations = {},
      sink,
      signal,
    } = options;
    checkCompression(compression);
    const image = typeof base === 'string' ? await this.find(base) : base;
    if (image === undefined)
      throw new ImageError('CTR_IMAGE_NOT_FOUND', `image ${base as string} is not in the store`, { reference: base as string });
    checkImage(image);
    const making = { context: this.#context, reference, compression, compressor, sink, signal: settle({ signal }).signal };
    return commitImage({ ...making, base: image, changes, config, created, author, message, annotations });
  }

  /**
   * Saves images to a file or folder, for `load`, `docker load`, `podman load`, `ctr image import`, skopeo and umoci. The same images give
   * the same bytes.
   *
   * @param references - One name or several.
   * @param target - The file or folder; a file is replaced when the new one is complete, and is readable by its owner only.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND when the store lacks one, CTR_IMAGE_DIGEST_MISMATCH when it was changed on disk.
   * @throws {SyscallError} when the target cannot be written.
   */
  async save(references: string | readonly string[], target: string, options: SaveOptions = {}): Promise<void> {
    const work = this.#saving(references, options);
    checks.string(target, 'target');
    await (options.format === 'directory' ? saveDirectory(work, target) : saveArchive(work, target));
  }

  /** The bytes that `save` would write as an archive, to send elsewhere. */
  saveStream(references: string | readonly string[], options: Omit<SaveOptions, 'format'> = {}): AsyncGenerator<Uint8Array> {
    return saveStream(this.#saving(references, options));
  }

  #saving(references: string | readonly string[], options: SaveOptions) {
    const list = typeof references === 'string' ? [references] : references;
    if (!Array.isArray(list) || list.length === 0)
      throw new InvalidArgumentError('references', 'an image reference or several', references);
    checkOptions(options, 'options', SAVE_CHECKS);
    checkPlatforms(options);
    const parsed = list.map((reference, i) => parseReference(reference as string, `references[${i}]`));
    const unique = [...new Map(parsed.map((reference) => [reference.name, reference])).values()];
    const only = options.platform === undefined ? undefined : parsePlatform(options.platform);
    return { ...settle(options), context: this.#context, references: unique, only, allPlatforms: options.allPlatforms ?? false };
  }

  /**
   * The files of an image as one tar stream: what a container of it sees, with whiteouts applied and hard links kept. What `docker
   * export` gives for a container.
   *
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND when a blob is missing, CTR_IMAGE_DIGEST_MISMATCH, CTR_IMAGE_INVALID, CTR_IMAGE_LIMIT.
   */
  flatten(image: Image, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
    checkImage(image);
    checkOptions(options, 'options', READ_CHECKS);
    return flattenImage({ ...settle(options), layout: this.#context.layout, image });
  }

  /**
   * What a layer of an image does, entry by entry, in the order of its archive. Nothing is unpacked.
   *
   * @param layer - One of `image.layers`.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND when the blob is missing, CTR_IMAGE_DIGEST_MISMATCH, CTR_IMAGE_INVALID, CTR_IMAGE_LIMIT.
   * @example
   * ```ts
   * for (const layer of image.layers)
   *   for await (const entry of store.entries(layer)) console.log(entry.type, entry.path, entry.size)
   * ```
   */
  entries(layer: ImageLayer, options: ReadOptions = {}): AsyncGenerator<LayerEntry> {
    if (!isDigest(layer?.digest) || !isDigest(layer.diffId)) throw new InvalidArgumentError('layer', 'a layer of an image', layer);
    checkOptions(options, 'options', READ_CHECKS);
    const { limits, signal } = settle(options);
    return layerEntries(this.#context.layout, layer, limits, signal);
  }

  /**
   * How much room the store takes, for what, and how much of it `gc()` would free.
   *
   * @param options.signal - Stops the counting, which takes a second for each 10^5 files.
   */
  async df(options: { signal?: AbortSignal } = {}): Promise<StoreUsage> {
    checkOptions(options, 'options', { signal: checks.signal });
    return usageOf(this.#context, settle(options).signal);
  }

  /**
   * Reads everything again and compares it with its digest.
   *
   * @param options.repair - Removes what is damaged, so that pulling with the policy `always` brings it anew. Default false: only looks.
   * @param options.signal - Stops the reading.
   */
  async verify(options: { repair?: boolean; signal?: AbortSignal } = {}): Promise<VerifyResult> {
    checkOptions(options, 'options', { repair: checks.boolean, signal: checks.signal });
    return verifyStore({ context: this.#context, repair: options.repair ?? false, signal: settle(options).signal });
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

/** Said once for each, as Node says what is not fatal. */
function warnOfSkipped({ name, digest, reason }: SkippedEntry): void {
  process.emitWarning(`${name ?? digest} was not loaded: ${reason}`, {
    code: 'CTR_IMAGE_SKIPPED',
    detail: 'Give onSkip to handle this yourself.',
  });
}

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
