// The interface through which a layer's files are made. This package makes none itself: @ctr/overlayfs has an object that fits.
import type { Digest } from '../digest.js';
import type { UnpackLimits } from '../limits.js';
import type { Compression } from './decompress.js';

/** Takes one layer as uncompressed tar bytes, in any split. */
export interface LayerWriter {
  /** Takes the next bytes; resolves when it can take more. It may keep the memory until then, not longer. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Resolves when the whole tree is made, and durable as far as the writer promises. When the result is an object with
   * `opaqueRoot: true`, the layer hides everything below it, and `unpack` leaves the layers below out.
   */
  end(): Promise<unknown>;
  /** Stops and lets go of everything; what was made so far is removed by the store. */
  abort(): Promise<void>;
}

/** What is known of a layer's blob before its bytes come, and must turn out to be so. */
export interface LayerBlob {
  /** Of the blob. */
  readonly digest: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** Of the uncompressed archive. */
  readonly diffId: Digest;
  /** By the first bytes of the blob, whatever a media type claims. */
  readonly compression: Compression;
  readonly limits: Required<UnpackLimits>;
}

/** What a {@link LayerBlobWriter} found: the digests are those that it computed. */
export interface LayerBlobResult {
  readonly digest: string;
  readonly diffId: string;
  /** As {@link LayerWriter.end} reports it. */
  readonly opaqueRoot?: boolean | undefined;
}

/**
 * Takes one layer as its blob, in any split: whoever implements it hashes, inflates and verifies, on threads of its own, say, and
 * keeps few bytes in memory by letting `write` wait.
 */
export interface LayerBlobWriter {
  /**
   * Takes the next bytes; resolves when it can take more. It may keep the memory until then, not longer. May reject when the layer
   * cannot be written any more; data that is damaged is better told by `end`, when the whole blob has been hashed.
   */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * The blob is over: resolves when it is verified and the layer complete, as {@link LayerWriter.end}.
   *
   * @throws {ImageError} CTR_IMAGE_DIGEST_MISMATCH with the `digest` that was expected; CTR_IMAGE_INVALID for what cannot be
   * inflated or is no archive; CTR_IMAGE_LIMIT.
   */
  end(): Promise<LayerBlobResult>;
  /** As {@link LayerWriter.abort}. */
  abort(): Promise<void>;
  /** Uncompressed bytes so far, for progress. */
  readonly unpackedBytes: number;
}

/** What takes the bytes of one layer: of the archive, or of the blob as it came. */
export type LayerIntake =
  | { readonly takes: 'tar'; readonly writer: LayerWriter }
  | { readonly takes: 'blob'; readonly writer: LayerBlobWriter };

/** Opens a writer for each layer. */
export interface LayerSink {
  /**
   * Names the form in which this sink makes layers, 1 to 16 of a-z, 0-9 and "-": layers of one form are not taken for those of
   * another. Default: undefined, the form of a store that knows one only. A sink that writes `user.overlay.*` marks in a
   * store where another writes `trusted.overlay.*` must have a form of its own.
   */
  readonly form?: string | undefined;
  /**
   * @param directory - An empty directory (mode 0755) in a tree that only this user can enter. The layer's root directory becomes
   * this one; it is moved to its place once the layer is complete and verified.
   */
  open(directory: string): LayerWriter | Promise<LayerWriter>;
  /**
   * Takes blobs as they come instead, where the sink can: `undefined` for a blob that it cannot read, which then comes to `open`
   * as tar bytes, hashed and inflated in JavaScript. Default: every layer goes to `open`.
   *
   * @param directory - As for `open`.
   */
  openBlob?(directory: string, blob: LayerBlob): LayerBlobWriter | undefined | Promise<LayerBlobWriter | undefined>;
}
