// Where an image is fetched from: its mirrors in order, then the registry itself. A mirror that fails, or lies, is passed over.
import { AbortError, CtrError, ImageError } from '@ctr/internal/errors';
import type { Digest } from '../digest.js';
import type { FetchedDocument, RegistryClient } from './client.js';
import { download } from './download.js';
import type { RetryOptions } from './retry.js';

/** Asks one place after the other. With no mirrors it is the registry and nothing else. */
export class Sources {
  readonly #mirrors: readonly RegistryClient[];
  readonly #registry: RegistryClient;
  readonly #retry: RetryOptions;
  /** Mirrors that failed once are not asked again in this pull: each further question would wait for them. */
  readonly #failed = new Set<RegistryClient>();

  constructor(mirrors: readonly RegistryClient[], registry: RegistryClient, retry: RetryOptions) {
    this.#mirrors = mirrors;
    this.#registry = registry;
    this.#retry = retry;
  }

  /** Ends all that is under way. */
  close(): void {
    for (const client of [...this.#mirrors, this.#registry]) client.close();
  }

  /** As `RegistryClient.release`. */
  release(): void {
    for (const client of [...this.#mirrors, this.#registry]) client.release();
  }

  /** `check` judges what came, so that a mirror with other content counts as one that failed. */
  manifest(
    name: string | Digest,
    signal: AbortSignal,
    check: (document: FetchedDocument) => void = () => undefined,
  ): Promise<FetchedDocument> {
    return this.#first(async (client) => {
      const document = await client.manifest(name, signal);
      check(document);
      return document;
    }, signal);
  }

  digestOf(tag: string, signal: AbortSignal): Promise<Digest | undefined> {
    return this.#first((client) => client.digestOf(tag, signal), signal);
  }

  /** The bytes of a blob from the first place that answers; the reader judges them, and says so by `distrust`. */
  async *blob(blob: { digest: Digest; size: number }, signal: AbortSignal): AsyncGenerator<Uint8Array[]> {
    for (const client of this.#usable()) {
      let begun = false;
      try {
        for await (const batch of download(client, blob, this.#retry, signal)) {
          begun = true;
          yield batch;
        }
        return;
      } catch (error) {
        // Once bytes were handed on, another place cannot go on for it: the reader begins anew, without this one.
        if (client === this.#registry || !isFault(error, signal)) throw error;
        this.#failed.add(client);
        if (begun) throw error;
      }
    }
  }

  /** What the place asked last gave was not what it should be; true when there is another place to ask. */
  distrust(): boolean {
    const [current] = this.#usable();
    if (current === undefined || current === this.#registry) return false;
    this.#failed.add(current);
    return true;
  }

  #usable(): RegistryClient[] {
    return [...this.#mirrors.filter((m) => !this.#failed.has(m)), this.#registry];
  }

  async #first<T>(ask: (client: RegistryClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    for (const client of this.#usable()) {
      try {
        return await ask(client);
      } catch (error) {
        if (client === this.#registry || !isFault(error, signal)) throw error;
        // "Not here" is what a mirror may say of one image; anything else ends our trust in it.
        if (!(error instanceof ImageError) || error.code !== 'CTR_IMAGE_NOT_FOUND') this.#failed.add(client);
      }
    }
    throw new Error('unreachable: the registry itself comes last');
  }
}

const isFault = (error: unknown, signal: AbortSignal): boolean =>
  !signal.aborted && error instanceof CtrError && !(error instanceof AbortError);
