// The bounds on everything that comes from outside. Changing one is a security decision (CVE-2023-25153, CVE-2026-55588 and their kin).

/** Manifests, indexes, configs: SPEC(distribution#pushing-manifests) asks registries for at least 4 MiB. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;
/** Answers of token servers. */
export const MAX_TOKEN_BYTES = 1024 * 1024;
/** Error bodies of registries: read only to quote one line. */
export const MAX_ERROR_BYTES = 16 * 1024;
/** Docker stops at 127 layers, overlayfs at 500. */
export const MAX_LAYERS = 500;
/** Entries of one index. */
export const MAX_INDEX_ENTRIES = 4096;
/** An index may hold an index; deeper nesting is an attack or a mistake. */
export const MAX_INDEX_DEPTH = 3;
/** Manifests and indexes that are looked at for one reference. */
export const MAX_DOCUMENTS = 32;
/** The same when all platforms are wanted: large indexes have some forty, with an attestation for each. */
export const MAX_TREE_DOCUMENTS = 1024;
/** Nesting of JSON documents: real ones stay below 10. */
export const MAX_JSON_DEPTH = 64;
/** Hops from a registry to where the blob really lies. */
export const MAX_REDIRECTS = 10;
/** Requests with new credentials for one answer. */
export const MAX_AUTH_ROUNDS = 3;
/** A zstd frame may ask for this much memory, as the zstd program allows without --long. */
export const MAX_ZSTD_WINDOW = 128 * 1024 * 1024;

/** Bounds on one unpacked layer. */
export interface UnpackLimits {
  /** Uncompressed bytes of one layer. Default 64 GiB. */
  maxLayerBytes?: number;
  /** Uncompressed bytes for each compressed one, counted once a layer has unpacked to 1 GiB. Default 400. */
  maxRatio?: number;
}

export const DEFAULT_UNPACK_LIMITS: Required<UnpackLimits> = { maxLayerBytes: 64 * 2 ** 30, maxRatio: 400 };
/** Below this a high ratio is harmless: a file of zeros. */
export const RATIO_FREE_BYTES = 2 ** 30;
