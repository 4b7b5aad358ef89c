// Content digests. A digest string from outside becomes a `Digest` here or nowhere; only a `Digest` ever builds a path or a URL.
import { createHash, type Hash } from 'node:crypto';
import { ImageError } from '@ctr/internal/errors';

declare const brand: unique symbol;

/** A checked digest such as `sha256:6b86…`: an allowed algorithm and lower-case hexadecimal of the right length. */
export type Digest = string & { readonly [brand]: 'Digest' };

/** SPEC(descriptor#registered-algorithms): sha256 must, sha512 may be supported; anything else is refused. */
const HEX_LENGTH = { sha256: 64, sha512: 128 } as const;
export type DigestAlgorithm = keyof typeof HEX_LENGTH;

/** True for a well-formed digest of an allowed algorithm. */
export function isDigest(value: unknown): value is Digest {
  if (typeof value !== 'string' || value.length > 135) return false;
  const match = /^(sha256|sha512):([0-9a-f]+)$/.exec(value);
  // `$` also matches before a final newline only with the m flag, so the whole string was seen.
  return match !== null && match[2]?.length === HEX_LENGTH[match[1] as DigestAlgorithm];
}

/**
 * Checks a digest string that came from outside.
 *
 * @param value - What claims to be a digest.
 * @param where - Named in the error, such as `layers[2].digest`.
 * @throws {ImageError} CTR_IMAGE_INVALID when the algorithm is not sha256 or sha512, or the rest is not lower-case hexadecimal of its length.
 * @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
 */
export function parseDigest(value: unknown, where = 'digest'): Digest {
  if (isDigest(value)) return value;
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : `a ${typeof value}`;
  throw new ImageError('CTR_IMAGE_INVALID', `${where} is no digest that can be used: ${shown}`, undefined, {
    hint: 'a digest is sha256: or sha512: and 64 or 128 lower-case hexadecimal digits',
  });
}

/** The two halves of a digest, fit for a path: both were checked by `parseDigest`. */
export function splitDigest(digest: Digest): { algorithm: DigestAlgorithm; hex: string } {
  const at = digest.indexOf(':');
  return { algorithm: digest.slice(0, at) as DigestAlgorithm, hex: digest.slice(at + 1) };
}

/** Digest of bytes in memory; sha256 unless said otherwise. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/** Digest of a stream: feed it, then read it once. */
export class Digester {
  readonly #hash: Hash;
  readonly #algorithm: DigestAlgorithm;
  /** Bytes fed so far. */
  bytes = 0;

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.bytes += chunk.length;
  }

  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest('hex')}` as Digest;
  }
}
