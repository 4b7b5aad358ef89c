// One layer on its way: compressed bytes are counted, hashed and kept; uncompressed ones are counted, hashed and handed to the sink.
//
//   source ──> digest ──> blob file
//                └──> decompress ──> diffID ──> sink
//
// Each arrow waits for the next, so a slow disk slows the network down and memory stays bounded. Nothing is published here.
import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import { type Digest, Digester, splitDigest } from '../digest.js';
import { RATIO_FREE_BYTES, type UnpackLimits } from '../limits.js';
import { type BlobWriter, digestMismatch } from '../store/blobs.js';
import { decompress } from './decompress.js';
import type { LayerWriter } from './layer-sink.js';

export interface LayerRun {
  /** Compressed bytes, begun when called; must end soon after the signal fires. */
  source(signal: AbortSignal): AsyncIterable<Uint8Array[]>;
  digest: Digest;
  size: number;
  /** Keeps the compressed bytes; undefined when the store has them. */
  blob: BlobWriter | undefined;
  /** Where the uncompressed ones go; undefined to fetch only. */
  unpack: { writer: LayerWriter; diffId: Digest; limits: Required<UnpackLimits>; onBytes(bytes: number): void } | undefined;
  onBytes(bytes: number): void;
  signal: AbortSignal;
}

/** Runs a layer through. When it resolves, size, digest and diffID have been verified and the sink has ended. */
export async function runLayer(run: LayerRun): Promise<void> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(run.signal.reason);
  run.signal.addEventListener('abort', abort, { once: true });
  const input = new VerifiedInput(run, stop.signal);
  try {
    throwIfAborted(run.signal, `unpack the layer ${run.digest}`);
    const damage = run.unpack === undefined ? undefined : await drain(run, input, run.unpack).then(() => undefined, damageOnly);
    // A decompressor may stop before the end (padding behind a gzip member): the digest covers the rest as well.
    while ((await input.next()) !== undefined);
    input.verify(damage);
    if (damage !== undefined) throw damage;
    await run.unpack?.writer.end();
  } finally {
    stop.abort();
    run.signal.removeEventListener('abort', abort);
    await input.close();
  }
}

/** Data that cannot be decompressed: whether the blob came damaged or was made so is for its digest to say. Other errors go on at once. */
function damageOnly(error: unknown): ImageError {
  if (error instanceof ImageError && error.code === 'CTR_IMAGE_INVALID') return error;
  throw error;
}

/** The compressed side. */
class VerifiedInput {
  readonly #run: LayerRun;
  readonly #source: AsyncIterator<Uint8Array[]>;
  readonly #digester: Digester;
  readonly #stop: AbortSignal;
  #writing: Promise<void> = Promise.resolve();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(run: LayerRun, stop: AbortSignal) {
    this.#run = run;
    this.#stop = stop;
    this.#source = run.source(stop)[Symbol.asyncIterator]();
    this.#digester = new Digester(splitDigest(run.digest).algorithm);
  }

  get bytes(): number {
    return this.#digester.bytes;
  }

  /** The next batch; undefined at the end. One call after the other, as a decompressor that stopped may still be waiting for its own. */
  next(): Promise<Uint8Array[] | undefined> {
    const turn = this.#turn.then(() => this.#next());
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** The batch before is on disk by then, this one is being written meanwhile. */
  async #next(): Promise<Uint8Array[] | undefined> {
    await this.#writing;
    const { value, done } = await this.#source.next();
    // Also when the other side failed: a read that was under way must not begin another write.
    throwIfAborted(this.#stop, `fetch the layer ${this.#run.digest}`);
    if (done) return undefined;
    for (const chunk of value) this.#digester.update(chunk);
    if (this.bytes > this.#run.size) throw this.#wrong(`more than the ${this.#run.size} bytes that the manifest promises`);
    if (this.#run.blob !== undefined) {
      this.#writing = this.#run.blob.write(value);
      // Awaited by the next call; until then a failure is no unhandled one.
      this.#writing.catch(() => undefined);
    }
    this.#run.onBytes(this.bytes);
    return value;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let batch = await this.next(); batch !== undefined; batch = await this.next()) yield* batch;
  }

  verify(damage: ImageError | undefined): void {
    if (this.bytes !== this.#run.size) throw this.#wrong(`${this.bytes} bytes instead of the ${this.#run.size} that the manifest promises`);
    const found = this.#digester.digest();
    if (found !== this.#run.digest) throw this.#wrong(found, damage);
  }

  /** Lets the write that is under way end, so that its file can be closed. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#source.return?.().catch(() => undefined);
  }

  #wrong(found: string, cause?: ImageError): ImageError {
    return digestMismatch('the layer is not what the manifest says', this.#run.digest, found, cause);
  }
}

/** The uncompressed side: everything goes to the sink, and must be what the config calls the diffID. */
async function drain(run: LayerRun, input: VerifiedInput, unpack: NonNullable<LayerRun['unpack']>): Promise<void> {
  const digester = new Digester(splitDigest(unpack.diffId).algorithm);
  const { maxLayerBytes, maxRatio } = unpack.limits;
  for await (const chunk of decompress(input.chunks())) {
    digester.update(chunk);
    const { bytes } = digester;
    if (bytes > maxLayerBytes) throw limit(run.digest, `unpacks to more than ${maxLayerBytes} bytes`);
    if (bytes > RATIO_FREE_BYTES && bytes > input.bytes * maxRatio)
      throw limit(run.digest, `unpacks to more than ${maxRatio} times its size`);
    await unpack.writer.write(chunk);
    unpack.onBytes(bytes);
    throwIfAborted(run.signal, `unpack the layer ${run.digest}`);
  }
  const found = digester.digest();
  if (found !== unpack.diffId)
    throw digestMismatch(`the layer ${run.digest} does not unpack to what the image config says`, unpack.diffId, found);
}

const limit = (digest: Digest, why: string): ImageError =>
  new ImageError('CTR_IMAGE_LIMIT', `the layer ${digest} ${why}`, { digest }, { hint: 'if that is right, raise the limits option' });
