// Downloads one blob as a stream that survives broken connections: it goes on where it stopped, and the reader's digest judges the whole.
import type { Digest } from '../digest.js';
import { digestMismatch } from '../store/blobs.js';
import type { RegistryClient } from './client.js';
import { type HttpAnswer, networkError, shownUrl } from './http.js';
import { asTransient, DEFAULT_RETRY, pause, type RetryOptions, Transient } from './retry.js';

/** Batches that are hashed, written and unpacked at once. */
const BATCH = 256 * 1024;
/** A connection that brought this much counts as good: the patience begins anew. */
const PROGRESS = 1024 * 1024;

/** The bytes of a blob in batches of about 256 KiB. Nothing is allocated by the size that the manifest claims. */
export async function* download(
  client: RegistryClient,
  blob: { digest: Digest; size: number },
  retry: RetryOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  const { attempts, baseDelayMs, maxDelayMs } = { ...DEFAULT_RETRY, ...retry };
  let offset = 0;
  for (let failures = 0; ; ) {
    const began = offset;
    try {
      for await (const batch of openAt(client, blob, offset, signal)) {
        offset += batch.reduce((sum, chunk) => sum + chunk.length, 0);
        yield batch;
      }
      if (offset >= blob.size) return;
      // The answer was whole as HTTP sees it, but too short: perhaps cut by a proxy, perhaps other content.
      throw new Transient(digestMismatch('the registry has other content', blob.digest, `${offset} bytes instead of ${blob.size}`));
    } catch (thrown) {
      if (!(thrown instanceof Transient)) throw thrown;
      failures = offset - began >= PROGRESS ? 1 : failures + 1;
      if (failures >= attempts) throw thrown.error;
      await pause(Math.min(maxDelayMs, baseDelayMs * 2 ** (failures - 1)), `fetch the blob ${blob.digest}`, signal);
    }
  }
}

async function* openAt(
  client: RegistryClient,
  blob: { digest: Digest; size: number },
  offset: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array[]> {
  const { answer, from } = await client.openBlob(blob.digest, offset, signal);
  const announced = answer.headers['content-length'];
  if (announced !== undefined && from + Number(announced) !== blob.size) {
    answer.body.destroy();
    throw digestMismatch(
      'the registry has other content',
      blob.digest,
      `${from + Number(announced)} bytes instead of the ${blob.size} that the manifest promises`,
    );
  }
  try {
    yield* batches(answer, offset - from);
  } catch (error) {
    throw asTransient(networkError(error as Error, answer.url, signal));
  }
}

/** Gathers what the socket delivers; passes over the first bytes when the server ignored Range. */
async function* batches(answer: HttpAnswer, skip: number): AsyncGenerator<Uint8Array[]> {
  let batch: Uint8Array[] = [];
  let bytes = 0;
  let left = skip;
  for await (const received of answer.body as AsyncIterable<Buffer>) {
    const chunk = left > 0 ? received.subarray(left) : received;
    left = Math.max(0, left - received.length);
    if (chunk.length === 0) continue;
    batch.push(chunk);
    bytes += chunk.length;
    if (bytes < BATCH) continue;
    yield batch;
    batch = [];
    bytes = 0;
  }
  if (batch.length > 0) yield batch;
  if (!answer.body.complete) throw Object.assign(new Error(`the connection to ${shownUrl(answer.url)} broke`), { code: 'ECONNRESET' });
}
