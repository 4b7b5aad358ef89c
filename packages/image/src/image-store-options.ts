// What the methods of the store take, and the checks that are made before anything is touched.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { type ConfigChanges, checkChanges } from './commit.js';
import type { PullProgress } from './context.js';
import type { ImageConfig } from './document/config.js';
import type { DirectoryPacker } from './import.js';
import type { UnpackLimits } from './limits.js';
import type { SkippedEntry } from './load/load.js';
import type { LayerCompressor } from './make-layer.js';
import { checks, REGISTRY_CHECKS, type RegistryOptions } from './options.js';
import { parseReference, type Reference } from './reference.js';
import type { LayerSink } from './unpack/layer-sink.js';

/** What making images has in common. */
export interface MakeOptions {
  /** The name it gets in the store. */
  reference: string;
  /** RFC 3339. Default `1970-01-01T00:00:00Z`, so that the digest depends on the content only. */
  created?: string;
  /** `gzip` (default, level 1) for images that will travel; `zstd` is smaller and faster, from Node 22.15 on; `none` is many times faster. */
  compression?: 'gzip' | 'zstd' | 'none';
  /** Annotations of the manifest, such as `org.opencontainers.image.source`. Default none. */
  annotations?: Record<string, string>;
  /**
   * What makes the blobs of the new layers, with `compression: 'gzip'`. `gzipLayer` of `@ctr/overlayfs` works on native threads, several times as
   * fast. Default: `node:zlib` at its fastest level.
   */
  compressor?: LayerCompressor;
  /** Unpacks the new layers in the same pass. `undefined`: `unpack` can follow. */
  sink?: LayerSink;
  /** Stops the work; nothing of it stays. */
  signal?: AbortSignal;
}

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
  /** True: all platforms, and an error when the store lacks one. Default false: see `platform`. */
  allPlatforms?: boolean;
  /** Repositories of the same registry that may have its blobs, such as `library/debian`; those of the store's other images are known. */
  mountFrom?: string[];
  /**
   * Blobs larger than this many bytes go in pieces of that size: for a proxy that takes no larger requests. A registry that takes no
   * pieces gets the blob as a whole. Default: each blob in one request, which every registry takes; when its connection breaks, what is
   * missing follows where the registry knows how much has arrived.
   */
  chunkBytes?: number;
  /** Stops the work; the upload under way is taken back. */
  signal?: AbortSignal;
  /** Called as the work moves on; many times a second. */
  onProgress?: (progress: PullProgress) => void;
}

export interface LoadOptions {
  /** Name for the image, when the file holds one only or its entries have no full name. Default: the name in the file, else `localhost/<file name>`. */
  reference?: string;
  /** The image to give back, such as `linux/arm64`; named alone, only it is loaded. Default: this machine's. */
  platform?: string;
  /**
   * True: all platforms that the file's indexes name, and an error when it lacks one. False: only the wanted platform. Default: what the file
   * has of all of them, unless `platform` names one.
   */
  allPlatforms?: boolean;
  /** Called for each entry that is no container image. Default: a warning of the process, code CTR_IMAGE_SKIPPED. */
  onSkip?: (skipped: SkippedEntry) => void;
  limits?: UnpackLimits;
  signal?: AbortSignal;
}

export interface CreateOptions extends MakeOptions {
  /** Tar streams, bottom first, such as `packTar` makes. */
  layers: AsyncIterable<Uint8Array>[];
  /** How the image wants to be run. Default: nothing set. */
  config?: ImageConfig;
  /** Default: this machine's. */
  platform?: string;
}

export interface ImportOptions extends Omit<CreateOptions, 'layers'> {
  /** Of a folder: owner of everything in the image. Default: as in the folder. */
  owner?: { uid: number; gid: number };
  /** Of a folder: time of everything in the image, in seconds since 1970. Default: as in the folder. */
  mtime?: number;
  /**
   * Of a folder: what reads it. `packDirectory` of `@ctr/overlayfs` is faster and keeps extended attributes, and with them the
   * capabilities of files. Default: Node's own calls, which know none.
   */
  pack?: DirectoryPacker;
}

export interface CommitOptions extends MakeOptions {
  /** A layer to put on top, as a tar stream with OCI's whiteouts: what `diff()` of an overlay gives. Default: none, only the config changes. */
  changes?: AsyncIterable<Uint8Array>;
  /** Of the manifest; those of the base stay, the same name replaces. Default none. */
  annotations?: Record<string, string>;
  /** Fields to replace, `null` to take one away; or a function that gets the image's config and returns the new one. Default: as it is. */
  config?: ConfigChanges;
  /** Who made it. */
  author?: string;
  /** Why it was made: the comment in its history. */
  message?: string;
}

export interface SaveOptions {
  /**
   * `archive` (default): a tar file that holds an OCI image layout and what older `docker load` needs, both over the same blobs.
   * `directory`: an OCI image layout folder, made or added to.
   */
  format?: 'archive' | 'directory';
  /** Saves the image for this platform alone. Default: all platforms when the store has them all, else this machine's. */
  platform?: string;
  /** True: all platforms, and an error when the store lacks one. Default false: see `platform`. */
  allPlatforms?: boolean;
  /** Stops the work; what was begun is removed. */
  signal?: AbortSignal;
}

export interface ReadOptions {
  /** Bounds on each layer; see `UnpackLimits` for the defaults. */
  limits?: UnpackLimits;
  /** Stops the reading. */
  signal?: AbortSignal;
}

export const UNPACK_CHECKS = { limits: checks.limits, signal: checks.signal, onProgress: checks.function };
export const PULL_CHECKS = {
  ...REGISTRY_CHECKS,
  ...UNPACK_CHECKS,
  policy: checks.oneOf('missing', 'always', 'never'),
  platform: checks.platform,
  allPlatforms: checks.boolean,
  sink: checks.sink,
};

/**
 * Checks one option of `ImageStore.pull` and does nothing else: for who passes options on and wants them refused before anything is done.
 *
 * @param name - Such as `mirrors`.
 * @param path - What the error calls it. Default: the name.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT with path, expected and received; a secret is not shown.
 * @example
 * ```ts
 * checkPullOption('mirrors', { 'docker.io': ['mirror.example:5000'] }, 'config.registryMirrors')
 * ```
 */
export function checkPullOption(name: keyof PullOptions, value: unknown, path: string = name): void {
  if (value !== undefined) PULL_CHECKS[name](value, path);
}

export const PUSH_CHECKS = {
  ...REGISTRY_CHECKS,
  as: checks.string,
  platform: checks.platform,
  allPlatforms: checks.boolean,
  mountFrom: checks.strings,
  chunkBytes: checks.integer(1, Number.MAX_SAFE_INTEGER),
  signal: checks.signal,
  onProgress: checks.function,
};
export const LOAD_CHECKS = {
  reference: checks.string,
  platform: checks.platform,
  allPlatforms: checks.boolean,
  onSkip: checks.function,
  limits: checks.limits,
  signal: checks.signal,
};

export const EPOCH = '1970-01-01T00:00:00Z';

export const isStream = (v: unknown): boolean => typeof (v as AsyncIterable<Uint8Array> | null)?.[Symbol.asyncIterator] === 'function';

/** A name for something that is yet to be made. */
export function newName(name: string): Reference {
  const reference = parseReference(name, 'options.reference');
  if (reference.digest === undefined) return reference;
  throw new InvalidArgumentError('options.reference', 'a name with a tag: the digest follows from the content', name);
}

const MAKE_CHECKS = {
  reference: checks.string,
  created: (v: unknown, path: string) => {
    if (typeof v !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(v))
      throw new InvalidArgumentError(path, 'a time like "2026-01-31T12:00:00Z"', v);
  },
  compression: checks.oneOf('gzip', 'zstd', 'none'),
  compressor: checks.function,
  annotations: checks.texts,
  sink: checks.sink,
  signal: checks.signal,
};

export const CREATE_CHECKS = {
  ...MAKE_CHECKS,
  layers: (v: unknown, path: string) => {
    if (!Array.isArray(v) || !v.every(isStream)) throw new InvalidArgumentError(path, 'an array of async iterables of Uint8Array', v);
  },
  config: () => undefined,
  platform: checks.platform,
};

export const IMPORT_CHECKS = { ...CREATE_CHECKS, owner: checks.owner, mtime: checks.integer(0, 2 ** 40), pack: checks.function };

export const COMMIT_CHECKS = {
  ...MAKE_CHECKS,
  changes: (v: unknown, path: string) => {
    if (!isStream(v)) throw new InvalidArgumentError(path, 'an async iterable of Uint8Array', v);
  },
  config: checkChanges,
  author: checks.string,
  message: checks.string,
};

export const SAVE_CHECKS = {
  format: checks.oneOf('archive', 'directory'),
  platform: checks.platform,
  allPlatforms: checks.boolean,
  signal: checks.signal,
};
/** One platform alone and all of them cannot be had together. */
export function checkPlatforms({ platform, allPlatforms }: { platform?: string; allPlatforms?: boolean }): void {
  if (platform !== undefined && allPlatforms === true)
    throw new InvalidArgumentError('options.allPlatforms', 'left out when "platform" is given', allPlatforms);
}

export const READ_CHECKS = { limits: checks.limits, signal: checks.signal };
