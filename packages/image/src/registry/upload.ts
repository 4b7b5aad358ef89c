// Puts blobs into a repository: not at all where the registry has them, by mounting from another repository, else by upload.
// SPEC(distribution#pushing-blobs)
import { ImageError } from '@ctr/internal/errors';
import type { Digest } from '../digest.js';
import type { RegistryClient } from './client.js';
import { discard, type HttpAnswer } from './http.js';
import { asTransient, Transient } from './retry.js';

/** Content to upload; read from any offset, as often as connections break. */
export interface UploadSource {
  digest: Digest;
  size: number;
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

export interface UploadOptions {
  /** Larger blobs go in pieces of this size; undefined: each blob in one request. */
  chunkBytes: number | undefined;
  /** Repositories of the same registry that may have the blob. */
  mountFrom: readonly string[];
  signal: AbortSignal;
  onBytes(bytes: number): void;
}

export type Uploaded = 'exists' | 'mounted' | 'uploaded';

/** Makes the registry have a blob, by the cheapest way there is. */
export async function uploadBlob(client: RegistryClient, blob: UploadSource, o: UploadOptions): Promise<Uploaded> {
  if (await existsThere(client, blob, o.signal)) return 'exists';
  for (const from of o.mountFrom) if (await mount(client, blob, from, o.signal)) return 'mounted';
  let tries = 0;
  await client.retrying(`push the blob ${blob.digest} to ${client.repository}`, o.signal, async (what) => {
    // Of an upload that broke, the answer alone may have been lost.
    if (tries++ > 0 && (await existsThere(client, blob, o.signal))) return;
    await uploadOnce(client, blob, o, what);
  });
  return 'uploaded';
}

/** A redirect to where the blob lies says that it lies there; following it would need a GET. */
const FOUND = [200, 301, 302, 303, 307, 308];

async function existsThere(client: RegistryClient, blob: UploadSource, signal: AbortSignal): Promise<boolean> {
  return client.retrying(`look for the blob ${blob.digest} in ${client.repository}`, signal, async (what) => {
    const answer = await client.request({ method: 'HEAD', path: `blobs/${blob.digest}`, accept: [...FOUND, 404], what, signal });
    answer.body.destroy();
    return FOUND.includes(answer.status);
  });
}

const EMPTY = { 'content-length': '0' };

/** True when the registry has taken it over. Anything else is no failure: the blob is uploaded then. */
async function mount(client: RegistryClient, blob: UploadSource, from: string, signal: AbortSignal): Promise<boolean> {
  const what = `mount the blob ${blob.digest} from ${from}`;
  const path = `blobs/uploads/?mount=${blob.digest}&from=${encodeURIComponent(from)}`;
  try {
    const answer = await client.request({ method: 'POST', path, headers: EMPTY, accept: [201, 202], what, signal, alsoPull: from });
    await discard(answer);
    // 202 has opened an ordinary upload, which is not used: the next request asks for one with our own scopes.
    if (answer.status === 202) await cancel(client, answer, signal);
    return answer.status === 201;
  } catch (error) {
    if (signal.aborted || !(error instanceof ImageError || error instanceof Transient)) throw error;
    return false;
  }
}

/** An unfinished upload takes up room there until the registry's own cleaning. */
async function cancel(client: RegistryClient, answer: HttpAnswer, signal: AbortSignal): Promise<void> {
  const what = 'give up an upload';
  const url = await client.resolve(answer.headers.location, answer.url, what, signal);
  const ended = await client.request({ method: 'DELETE', path: url, accept: [200, 202, 204, 404, 405], what, signal });
  await discard(ended);
}

async function uploadOnce(client: RegistryClient, blob: UploadSource, o: UploadOptions, what: string): Promise<void> {
  try {
    await inSession(client, blob, o, what, async (upload, least) => {
      const chunk = o.chunkBytes === undefined ? blob.size : Math.max(o.chunkBytes, least);
      await (blob.size > chunk ? upload.inPieces(chunk) : upload.whole());
    });
  } catch (error) {
    if (o.signal.aborted || !(error instanceof PiecesRefused)) throw error;
    await inSession(client, blob, o, what, (upload) => upload.finish(0));
  }
}

async function inSession(
  client: RegistryClient,
  blob: UploadSource,
  o: UploadOptions,
  what: string,
  send: (upload: Upload, least: number) => Promise<void>,
): Promise<void> {
  const { signal } = o;
  const session = await client.request({ method: 'POST', path: 'blobs/uploads/', headers: EMPTY, accept: [202], what, signal });
  await discard(session);
  const least = Number(session.headers['oci-chunk-min-length'] ?? 0) || 0;
  const upload = new Upload(client, blob, o, what, await client.resolve(session.headers.location, session.url, what, signal));
  try {
    await send(upload, least);
  } catch (error) {
    // The session of pieces that are not taken would hold their room there, too.
    if (signal.aborted || error instanceof PiecesRefused) await upload.giveUp();
    throw error;
  }
}

/**
 * The registry will not have a blob in more than one request, whatever its words for that: GitHub's answers 416 to a piece over
 * 4 MiB, Google's takes none, others put them together wrongly. One PUT in a new session is what every registry must take.
 */
class PiecesRefused extends Error {}

/** Answers to a piece that say nothing about the blob as such: one that is too large (413) would be no smaller as a whole. */
const saysNoToPieces = (error: unknown): boolean =>
  error instanceof ImageError &&
  error.code !== 'CTR_IMAGE_AUTH' &&
  [400, 404, 405, 406, 409, 411, 415, 416, 422, 501].includes(error.status ?? 0);

/** The connection broke, or something on the way failed: what has arrived may still be there. */
function isBroken(error: unknown): boolean {
  const transient = asTransient(error);
  return transient instanceof Transient && transient.retryAfterMs === undefined;
}

/** One upload session. Each answer may name another place to go on at. */
class Upload {
  readonly #client: RegistryClient;
  readonly #blob: UploadSource;
  readonly #o: UploadOptions;
  readonly #what: string;
  #url: URL;

  constructor(client: RegistryClient, blob: UploadSource, o: UploadOptions, what: string, url: URL) {
    this.#client = client;
    this.#blob = blob;
    this.#o = o;
    this.#what = what;
    this.#url = url;
  }

  /** Sends everything in one PUT. When that breaks, what is missing follows, where the registry knows how much has arrived. */
  async whole(): Promise<void> {
    let failures = 0;
    for (let offset = 0; ; ) {
      try {
        await this.finish(offset);
        return;
      } catch (error) {
        if (offset > 0 && saysNoToPieces(error)) throw new PiecesRefused();
        if (this.#o.signal.aborted || !isBroken(error) || ++failures > MAX_STILL) throw error;
        offset = await this.#arrived(error);
        // Nothing of it: the registry may still be at work on the request that broke, so a new session is safer.
        if (offset === 0) throw error;
      }
    }
  }

  /** Sends everything by PATCH, piece by piece, and ends the session. */
  async inPieces(chunk: number): Promise<void> {
    let failures = 0;
    for (let offset = 0; offset < this.#blob.size; ) {
      try {
        const next = await this.#patch(offset, Math.min(offset + chunk, this.#blob.size));
        if (next > offset) failures = 0;
        else if (++failures > MAX_STILL) throw new PiecesRefused();
        offset = next;
      } catch (error) {
        if (offset === 0 && saysNoToPieces(error)) throw new PiecesRefused();
        if (this.#o.signal.aborted || !isBroken(error) || ++failures > MAX_STILL) throw error;
        // What has arrived is known to the registry alone. A session that is gone is begun anew by whoever called.
        offset = await this.#arrived(error);
      }
    }
    await this.finish(this.#blob.size).catch((error: unknown) => {
      throw saysNoToPieces(error) ? new PiecesRefused() : error;
    });
  }

  /** Returns how much the registry has now. */
  async #patch(start: number, end: number): Promise<number> {
    const answer = await this.#client.request({
      method: 'PATCH',
      path: this.#url,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(end - start),
        'content-range': `${start}-${end - 1}`,
      },
      body: () => this.#read(start, end),
      accept: start === 0 ? [202] : [202, 404, 416],
      what: this.#what,
      signal: this.#o.signal,
    });
    await discard(answer);
    if (answer.status === 416) return this.#arrived(undefined);
    if (answer.status === 404)
      throw new Transient(new ImageError('CTR_IMAGE_REGISTRY', `${this.#what}: the registry has forgotten the upload`));
    await this.#moveOn(answer);
    // It said that it took the piece. Amazon's `Range` stays at the end of the first one for all that; the digest decides in the end.
    return end;
  }

  /** Asks how much the registry has of it. */
  async #arrived(error: unknown): Promise<number> {
    const { signal } = this.#o;
    const unknown = error ?? new PiecesRefused();
    const asked = this.#client.request({ method: 'GET', path: this.#url, accept: [200, 204], what: this.#what, signal });
    const answer = await asked.catch((own: unknown) => {
      throw signal.aborted ? own : unknown;
    });
    await discard(answer);
    const bytes = rangeEnd(answer);
    if (bytes === undefined || bytes > this.#blob.size) throw unknown;
    await this.#moveOn(answer);
    return bytes;
  }

  /** Ends the session with what is missing from `start` on. */
  async finish(start: number): Promise<void> {
    const { digest, size } = this.#blob;
    const url = new URL(this.#url);
    url.searchParams.set('digest', digest);
    const answer = await this.#client.request({
      method: 'PUT',
      path: url,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(size - start),
        ...(start > 0 && start < size ? { 'content-range': `${start}-${size - 1}` } : {}),
      },
      ...(start < size ? { body: () => this.#read(start, size) } : {}),
      accept: [201, 204],
      what: this.#what,
      signal: this.#o.signal,
    });
    await discard(answer);
    this.#o.onBytes(size);
  }

  async giveUp(): Promise<void> {
    const signal = AbortSignal.timeout(GIVE_UP_MS);
    const asked = this.#client.request({ method: 'DELETE', path: this.#url, accept: [200, 202, 204, 404, 405], what: this.#what, signal });
    await asked.then(discard, () => undefined);
  }

  async #moveOn(answer: HttpAnswer): Promise<void> {
    if (answer.headers.location !== undefined)
      this.#url = await this.#client.resolve(answer.headers.location, answer.url, this.#what, this.#o.signal);
  }

  async *#read(start: number, end: number): AsyncGenerator<Uint8Array> {
    let sent = start;
    for await (const chunk of this.#blob.read(start, end)) {
      yield chunk;
      sent += chunk.length;
      this.#o.onBytes(sent);
    }
  }
}

/** Answers and failures in turn that bring the upload no further. */
const MAX_STILL = 4;
/** An upload that was aborted is taken back on the way out, which must not take long. */
const GIVE_UP_MS = 2000;

/** SPEC: `Range: 0-1023` says that 1024 bytes are there; docker's registry says `0-0` for none and for one. */
function rangeEnd(answer: HttpAnswer): number | undefined {
  const match = /^(?:bytes=)?0-(\d{1,15})$/.exec(String(answer.headers['range'] ?? ''));
  const last = match === null ? undefined : Number(match[1]);
  return last === undefined ? undefined : last === 0 ? 0 : last + 1;
}
