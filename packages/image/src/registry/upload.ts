// Puts blobs into a repository: not at all where the registry has them, by mounting from another repository, else by upload.
// SPEC(distribution#pushing-blobs)
import { ImageError } from '@ctr/internal/errors';
import type { Digest } from '../digest.js';
import type { RegistryClient } from './client.js';
import { discard, type HttpAnswer } from './http.js';
import { Transient } from './retry.js';

/** Content to upload; read from any offset, as often as connections break. */
export interface UploadSource {
  digest: Digest;
  size: number;
  read(start: number, end: number): AsyncIterable<Uint8Array>;
}

export interface UploadOptions {
  /** Larger blobs go in pieces of this size, so that a broken connection costs one piece at most. */
  chunkBytes: number;
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
  await client.retrying(`push the blob ${blob.digest} to ${client.repository}`, o.signal, (what) => uploadOnce(client, blob, o, what));
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
  const { signal } = o;
  const session = await client.request({ method: 'POST', path: 'blobs/uploads/', headers: EMPTY, accept: [202], what, signal });
  await discard(session);
  const least = Number(session.headers['oci-chunk-min-length'] ?? 0) || 0;
  const upload = new Upload(client, blob, o, what, await client.resolve(session.headers.location, session.url, what, signal));
  try {
    const chunk = Math.max(o.chunkBytes, least);
    if (blob.size > chunk && (await upload.inPieces(chunk))) await upload.finish(blob.size);
    else await upload.finish(0);
  } catch (error) {
    if (signal.aborted) await upload.giveUp();
    throw error;
  }
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

  /** Sends everything by PATCH; false when the registry cannot do that and has nothing yet. */
  async inPieces(chunk: number): Promise<boolean> {
    let failures = 0;
    for (let offset = 0; offset < this.#blob.size; ) {
      try {
        const next = await this.#patch(offset, Math.min(offset + chunk, this.#blob.size));
        if (next === undefined) return false;
        if (next > offset) failures = 0;
        else if (++failures > MAX_STILL) throw this.#stuck();
        offset = next;
      } catch (error) {
        if (this.#o.signal.aborted || ++failures > MAX_STILL) throw error;
        // What has arrived is known to the registry alone. A session that is gone is begun anew by whoever called.
        offset = await this.#arrived(error);
      }
    }
    return true;
  }

  /** Returns how much the registry has now; undefined when it does not take pieces. */
  async #patch(start: number, end: number): Promise<number | undefined> {
    const answer = await this.#client.request({
      method: 'PATCH',
      path: this.#url,
      headers: {
        'content-type': 'application/octet-stream',
        'content-length': String(end - start),
        'content-range': `${start}-${end - 1}`,
      },
      body: () => this.#read(start, end),
      accept: [202, 404, 405, 416, 501],
      what: this.#what,
      signal: this.#o.signal,
    });
    await discard(answer);
    if (answer.status === 416) return this.#arrived(undefined);
    if (answer.status !== 202) {
      if (start === 0 && answer.status !== 404) return undefined;
      throw new Transient(new ImageError('CTR_IMAGE_REGISTRY', `${this.#what}: the registry has forgotten the upload`));
    }
    await this.#moveOn(answer);
    return rangeEnd(answer) ?? end;
  }

  /** Asks how much the registry has of it. */
  async #arrived(error: unknown): Promise<number> {
    const { signal } = this.#o;
    const answer = await this.#client.request({ method: 'GET', path: this.#url, accept: [200, 204, 404], what: this.#what, signal });
    await discard(answer);
    const bytes = rangeEnd(answer);
    if (answer.status === 404 || bytes === undefined || bytes > this.#blob.size) throw error ?? this.#stuck();
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
      headers: { 'content-type': 'application/octet-stream', 'content-length': String(size - start) },
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

  #stuck(): Transient {
    return new Transient(new ImageError('CTR_IMAGE_REGISTRY', `${this.#what}: the upload does not move on`));
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
