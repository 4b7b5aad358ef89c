// @ctr/image: OCI images for Node.js. References, registries, a content store, unpacking.
export {
  AbortError,
  CleanupError,
  CtrError,
  ImageError,
  type ImageErrorCode,
  InvalidArgumentError,
  SyscallError,
  UnsupportedError,
} from '@ctr/internal/errors';
export type { ConfigChanges } from './commit.js';
export type { PullProgress, TransferProgress, WaitProgress } from './context.js';
export { type Digest, isDigest, parseDigest } from './digest.js';
export type { ImageConfig, ImageHealthcheck } from './document/config.js';
export type { Referrer } from './document/referrers.js';
export type { Image, ImageLayer } from './image.js';
export { ImageStore } from './image-store.js';
export type {
  CommitOptions,
  CreateOptions,
  ImportOptions,
  LoadOptions,
  MakeOptions,
  PullOptions,
  PushOptions,
  ReadOptions,
  SaveOptions,
  UnpackOptions,
} from './image-store-options.js';
export { checkPullOption } from './image-store-options.js';
export type { DirectoryPacker } from './import.js';
export type { LayerEntry } from './layer-entries.js';
export type { UnpackLimits } from './limits.js';
export type { SkippedEntry } from './load/load.js';
export type { CompressedLayer, LayerCompressor } from './make-layer.js';
export type { RegistryOptions } from './options.js';
export { formatPlatform, hostPlatform, type Platform, parsePlatform } from './platform.js';
export type { PushResult } from './push.js';
export { parseReference, type Reference } from './reference.js';
export type { RegistryAuth } from './registry/credentials.js';
export type { RetryOptions } from './registry/retry.js';
export type { RegistryTls } from './registry/trust.js';
export { type RemoteManifest, Repository, type RepositoryOptions, type RequestOptions } from './repository.js';
export type { GcResult } from './store/gc.js';
export type { Lease } from './store/leases.js';
export type { ImageUsage, RoomTaken, StoreUsage } from './store/usage.js';
export type { Damage, VerifyResult } from './store/verify.js';
export { packTar, type TarEntry, type TarEntryBase } from './tar/pack.js';
export { type DirectoryOptions, directoryEntries } from './tar/pack-directory.js';
export type { Compression } from './unpack/decompress.js';
export type { LayerBlob, LayerBlobResult, LayerBlobWriter, LayerSink, LayerWriter } from './unpack/layer-sink.js';
