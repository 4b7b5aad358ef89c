// A repository in a registry, without a store: what it holds, what refers to what, and how to delete it.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { throwIfAborted } from './abort.js';
import { type Digest, Digester, digestOf, isDigest, splitDigest } from './digest.js';
import { parseDocument } from './document/manifest.js';
import type { Referrer } from './document/referrers.js';
import { checkOptions, checks, REGISTRY_CHECKS, type RegistryOptions } from './options.js';
import { parseReference, type Reference } from './reference.js';
import type { RegistryClient } from './registry/client.js';
import { connect } from './registry/connect.js';
import { download } from './registry/download.js';
import { listReferrers, listTags } from './registry/listing.js';
import { TokenCache } from './registry/token.js';
import { deleteThere } from './registry/write-manifest.js';
import { digestMismatch } from './store/blobs.js';

/** A manifest or index as a registry has it. */
export interface RemoteManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** The exact bytes that `digest` is of. */
  readonly bytes: Uint8Array;
}

export interface RepositoryOptions extends RegistryOptions {
  /** What tokens are asked for. Default `pull`; `delete` to be able to delete. */
  access?: 'pull' | 'delete';
  /** Stops the search for credentials, which may ask a helper program. */
  signal?: AbortSignal;
}

/** What every question to a repository takes. */
export interface RequestOptions {
  /** Stops the request. */
  signal?: AbortSignal;
}

const SIGNAL = { signal: checks.signal };
const tokens = new TokenCache();

/**
 * One repository of a registry: tags, manifests, referrers, blobs. Nothing is stored; `ImageStore` pulls and pushes.
 *
 * @example
 * ```ts
 * const repository = await Repository.open('ghcr.io/owner/app')
 * for await (const tag of repository.tags()) console.log(tag)
 * ```
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export class Repository {
  /** `host[:port]`, `docker.io` for Docker Hub. */
  readonly registry: string;
  /** Name below the registry, such as `library/debian`. */
  readonly name: string;
  readonly #reference: Reference;
  readonly #client: RegistryClient;

  private constructor(reference: Reference, client: RegistryClient) {
    this.registry = reference.registry;
    this.name = reference.repository;
    this.#reference = reference;
    this.#client = client;
  }

  /**
   * Prepares to talk to a repository; the first request is made by the first question.
   *
   * @param name - Such as `debian` or `ghcr.io/owner/app`; a tag or digest in it is what `manifest()` and `delete()` mean by default.
   * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for a bad name or option.
   */
  static async open(name: string, options: RepositoryOptions = {}): Promise<Repository> {
    const reference = parseReference(name, 'name');
    checkOptions(options, 'options', { ...REGISTRY_CHECKS, access: checks.oneOf('pull', 'delete'), ...SIGNAL });
    const { access = 'pull', signal: given, ...rest } = options;
    // Registries differ in what they want for deleting: the specification's "delete", or "push"; their challenge adds the rest.
    const actions = access === 'delete' ? 'pull,push,delete' : 'pull';
    const signal = given ?? new AbortController().signal;
    throwIfAborted(signal, `open the repository ${reference.registry}/${reference.repository}`);
    return new Repository(reference, await connect({ reference, options: rest, tokens, actions, signal }));
  }

  /**
   * All tags, fetched page by page as they are read.
   *
   * @param options.pageSize - Tags in one answer, 1 to 10000. Default 1000; registries may give fewer.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND, CTR_IMAGE_AUTH, CTR_IMAGE_REGISTRY.
   */
  tags(options: RequestOptions & { pageSize?: number } = {}): AsyncGenerator<string> {
    checkOptions(options, 'options', { ...SIGNAL, pageSize: checks.integer(1, 10_000) });
    return listTags(this.#client, { pageSize: options.pageSize ?? 1000, signal: signalOf(options) });
  }

  /** The digest that a tag has now, by a request that Docker Hub does not count as a pull; `undefined` when there is no such tag. */
  async resolve(tag?: string, options: RequestOptions = {}): Promise<Digest | undefined> {
    const { tag: checked, digest } = this.#target(tag);
    checkOptions(options, 'options', SIGNAL);
    return digest ?? this.#client.digestOf(checked as string, signalOf(options));
  }

  /**
   * A manifest or index, verified and byte-exact; also one of an artifact that is no image.
   *
   * @param target - A tag or digest. Default: the one in the name that was opened, else `latest`.
   * @throws {ImageError} CTR_IMAGE_NOT_FOUND, CTR_IMAGE_AUTH, CTR_IMAGE_REGISTRY, CTR_IMAGE_DIGEST_MISMATCH, CTR_IMAGE_INVALID, CTR_IMAGE_LIMIT.
   */
  async manifest(target?: string, options: RequestOptions = {}): Promise<RemoteManifest> {
    const { tag, digest: wanted } = this.#target(target);
    checkOptions(options, 'options', SIGNAL);
    const { bytes, mediaType } = await this.#client.manifest(wanted ?? (tag as string), signalOf(options));
    const digest = digestOf(bytes, wanted === undefined ? 'sha256' : splitDigest(wanted).algorithm);
    if (wanted !== undefined && digest !== wanted) throw digestMismatch('the registry sent another manifest', wanted, digest);
    return { digest, mediaType: parseDocument(bytes, mediaType, `manifest of ${this.#reference.name}`).mediaType, bytes };
  }

  /**
   * A blob's bytes; a connection that breaks is taken up where it broke.
   *
   * @param blob - Digest and size as the manifest gives them.
   * @throws {ImageError} CTR_IMAGE_DIGEST_MISMATCH at the end when the bytes are others: use nothing of them before.
   */
  async *blob(blob: { digest: Digest; size: number }, options: RequestOptions = {}): AsyncGenerator<Uint8Array> {
    if (!isDigest(blob?.digest)) throw new InvalidArgumentError('blob.digest', 'a digest', blob?.digest);
    checks.integer(0, Number.MAX_SAFE_INTEGER)(blob.size, 'blob.size');
    checkOptions(options, 'options', SIGNAL);
    yield* verified(download(this.#client, blob, {}, signalOf(options)), blob);
  }

  /**
   * What names a manifest as its subject: signatures, lists of contents, attestations.
   *
   * @param options.artifactType - Only those of this type. Default: all.
   * @throws {ImageError} CTR_IMAGE_AUTH, CTR_IMAGE_REGISTRY, CTR_IMAGE_INVALID.
   */
  referrers(subject: string, options: RequestOptions & { artifactType?: string } = {}): AsyncGenerator<Referrer> {
    if (!isDigest(subject)) throw new InvalidArgumentError('subject', 'a digest like "sha256:…"', subject);
    checkOptions(options, 'options', { ...SIGNAL, artifactType: checks.string });
    return listReferrers(this.#client, subject, { artifactType: options.artifactType, signal: signalOf(options) });
  }

  /**
   * Deletes a manifest by its digest, with all tags on it, or a tag where the registry can do that. Open with `access: 'delete'`.
   *
   * @returns False when it was not there.
   * @throws {ImageError} CTR_IMAGE_REGISTRY with status 405 when the registry does not allow it, CTR_IMAGE_AUTH.
   */
  async delete(target?: string, options: RequestOptions = {}): Promise<boolean> {
    const { tag, digest } = this.#target(target);
    checkOptions(options, 'options', SIGNAL);
    return deleteThere(this.#client, 'manifests', digest ?? (tag as string), signalOf(options));
  }

  /** Lets go of idle connections; they end by themselves soon after, too. */
  close(): void {
    this.#client.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #target(target: string | undefined): Pick<Reference, 'tag' | 'digest'> {
    if (target === undefined) return this.#reference;
    const name = `${this.registry}/${this.name}`;
    return parseReference(isDigest(target) ? `${name}@${target}` : `${name}:${target}`, 'target');
  }
}

const signalOf = (options: RequestOptions): AbortSignal => options.signal ?? new AbortController().signal;

async function* verified(source: AsyncIterable<Uint8Array[]>, blob: { digest: Digest; size: number }): AsyncGenerator<Uint8Array> {
  const digester = new Digester(splitDigest(blob.digest).algorithm);
  for await (const batch of source) {
    for (const chunk of batch) digester.update(chunk);
    if (digester.bytes > blob.size) break;
    yield* batch;
  }
  const found = digester.digest();
  if (digester.bytes !== blob.size || found !== blob.digest) throw digestMismatch('the registry sent another blob', blob.digest, found);
}
