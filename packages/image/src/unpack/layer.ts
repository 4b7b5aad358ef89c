// One layer on its way: compressed bytes are counted, verified and kept; what is in them goes to the sink. Either all of it is done here:
//
//   source ──> digest ──> blob file
//                └──> decompress ──> diffID ──> sink
//
// or the sink takes the blob as it comes, and hashes and inflates it itself, on threads of its own:
//
//   source ──> blob file
//        └──> sink: digest, decompress, diffID
//
// Each arrow waits for the next, so a slow disk slows the network down and memory stays bounded. Nothing is published here.
import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import { type Digest, Digester, splitDigest } from '../digest.js';
import { RATIO_FREE_BYTES, type UnpackLimits } from '../limits.js';
import { type BlobWriter, digestMismatch } from '../store/blobs.js';
import { type Compression, decompress, sniffCompression } from './decompress.js';
import type { LayerBlobResult, LayerBlobWriter, LayerIntake, LayerWriter } from './layer-sink.js';

/** Where the content of a layer goes. */
export interface LayerUnpack {
  /** Called once, when the first bytes are there. */
  open(compression: Compression): Promise<{ readonly intake: LayerIntake; end(): Promise<unknown> }>;
  diffId: Digest;
  limits: Required<UnpackLimits>;
  onBytes(bytes: number): void;
}

export interface LayerRun {
  /** Compressed bytes, begun when called; must end soon after the signal fires. */
  source(signal: AbortSignal): AsyncIterable<Uint8Array[]>;
  digest: Digest;
  size: number;
  /** Keeps the compressed bytes; undefined when the store has them. */
  blob: BlobWriter | undefined;
  /** Undefined to fetch only. */
  unpack: LayerUnpack | undefined;
  onBytes(bytes: number): void;
  signal: AbortSignal;
}

/** Runs a layer through. When it resolves, size, digest and diffID have been verified and the sink has ended. */
export async function runLayer(run: LayerRun): Promise<void> {
  const stop = new AbortController();
  const abort = (): void => stop.abort(run.signal.reason);
  run.signal.addEventListener('abort', abort, { once: true });
  const input = new LayerInput(run, stop.signal);
  try {
    throwIfAborted(run.signal, `unpack the layer ${run.digest}`);
    const target = await run.unpack?.open(sniffCompression(await input.peek(4)));
    if (target?.intake.takes === 'blob') await handOver(run, input, target.intake.writer);
    else await unpackHere(run, input, target?.intake.writer);
    const result = target && (await endBoth(run, input, target));
    if (target?.intake.takes === 'blob') verifyResult(run, result as LayerBlobResult);
  } finally {
    stop.abort();
    run.signal.removeEventListener('abort', abort);
    await input.close();
  }
}

/** The blob reaches the disk while the sink completes its layer. */
async function endBoth(run: LayerRun, input: LayerInput, target: { end(): Promise<unknown> }): Promise<unknown> {
  await input.written();
  const [result, flushed] = await Promise.allSettled([target.end(), run.blob?.flush()]);
  if (result.status === 'rejected') throw result.reason;
  if (flushed.status === 'rejected') throw flushed.reason;
  return result.value;
}

/** Hashes and inflates; all that the sink is told is right. */
async function unpackHere(run: LayerRun, input: LayerInput, writer: LayerWriter | undefined): Promise<void> {
  const { unpack } = run;
  const digester = input.hash();
  const damage =
    unpack && writer && (await drain(run, { chunks: input.chunks(), packed: digester }, unpack, writer).then(() => undefined, damageOnly));
  // A decompressor may stop before the end (padding behind a gzip member): the digest covers the rest as well.
  while ((await input.next()) !== undefined);
  input.verifySize();
  const found = digester.digest();
  if (found !== run.digest) throw wrong(run.digest, found, damage);
  if (damage !== undefined) throw damage;
}

/** The sink hashes and inflates. What is wrong with the bytes it tells at the end. */
async function handOver(run: LayerRun, input: LayerInput, writer: LayerBlobWriter): Promise<void> {
  for (let batch = await input.next(); batch !== undefined; batch = await input.next()) {
    for (const chunk of batch) await writer.write(chunk);
    run.unpack?.onBytes(writer.unpackedBytes);
    throwIfAborted(run.signal, `unpack the layer ${run.digest}`);
  }
  input.verifySize();
}

/** A sink that forgot to compare publishes nothing. */
function verifyResult(run: LayerRun, found: Partial<LayerBlobResult> | undefined): void {
  if (found?.digest !== run.digest) throw wrong(run.digest, `${found?.digest}`);
  if (found.diffId !== run.unpack?.diffId) throw otherContent(run, `${found.diffId}`);
}

/** Data that cannot be decompressed: whether the blob came damaged or was made so is for its digest to say. Other errors go on at once. */
function damageOnly(error: unknown): ImageError {
  if (error instanceof ImageError && error.code === 'CTR_IMAGE_INVALID') return error;
  throw error;
}

/** The compressed side. */
class LayerInput {
  readonly #run: LayerRun;
  readonly #source: AsyncIterator<Uint8Array[]>;
  readonly #stop: AbortSignal;
  #digester: Digester | undefined;
  #peeked: Uint8Array[] | undefined;
  #bytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(run: LayerRun, stop: AbortSignal) {
    this.#run = run;
    this.#stop = stop;
    this.#source = run.source(stop)[Symbol.asyncIterator]();
  }

  /** From now on every byte is hashed before it is given. */
  hash(): Digester {
    this.#digester = new Digester(splitDigest(this.#run.digest).algorithm);
    return this.#digester;
  }

  /** The first bytes, fewer only when there are no more; `next` gives them once more. */
  async peek(bytes: number): Promise<Uint8Array> {
    const seen: Uint8Array[] = [];
    const length = (): number => seen.reduce((sum, chunk) => sum + chunk.length, 0);
    while (length() < bytes) {
      const batch = await this.#fetch();
      if (batch === undefined) break;
      seen.push(...batch);
    }
    if (seen.length > 0) this.#peeked = seen;
    return Buffer.concat(seen.map((chunk) => chunk.subarray(0, bytes))).subarray(0, bytes);
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
    const batch = this.#peeked ?? (await this.#fetch());
    this.#peeked = undefined;
    if (batch === undefined) return undefined;
    for (const chunk of batch) {
      this.#bytes += chunk.length;
      this.#digester?.update(chunk);
    }
    if (this.#bytes > this.#run.size) throw this.#wrong(`more than the ${this.#run.size} bytes that the manifest promises`);
    if (this.#run.blob !== undefined) {
      this.#writing = this.#run.blob.write(batch);
      // Awaited by the next call; until then a failure is no unhandled one.
      this.#writing.catch(() => undefined);
    }
    this.#run.onBytes(this.#bytes);
    return batch;
  }

  async #fetch(): Promise<Uint8Array[] | undefined> {
    const { value, done } = await this.#source.next();
    // Also when the other side failed: a read that was under way must not begin another write.
    throwIfAborted(this.#stop, `fetch the layer ${this.#run.digest}`);
    return done ? undefined : value;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let batch = await this.next(); batch !== undefined; batch = await this.next()) yield* batch;
  }

  /** The last batch is in the blob's file. */
  written(): Promise<void> {
    return this.#writing;
  }

  verifySize(): void {
    if (this.#bytes !== this.#run.size)
      throw this.#wrong(`${this.#bytes} bytes instead of the ${this.#run.size} that the manifest promises`);
  }

  /** Lets the write that is under way end, so that its file can be closed. */
  async close(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#source.return?.().catch(() => undefined);
  }

  #wrong(found: string): ImageError {
    return wrong(this.#run.digest, found);
  }
}

const wrong = (digest: Digest, found: string, cause?: ImageError): ImageError =>
  digestMismatch('the layer is not what the manifest says', digest, found, cause);

const otherContent = ({ digest, unpack }: LayerRun, found: string): ImageError =>
  digestMismatch(`the layer ${digest} does not unpack to what the image config says`, unpack?.diffId as Digest, found);

/** The uncompressed side: everything goes to the sink, and must be what the config calls the diffID. */
async function drain(
  run: LayerRun,
  input: { chunks: AsyncIterable<Uint8Array>; packed: Digester },
  unpack: LayerUnpack,
  writer: LayerWriter,
): Promise<void> {
  const digester = new Digester(splitDigest(unpack.diffId).algorithm);
  const { maxLayerBytes, maxRatio } = unpack.limits;
  for await (const chunk of decompress(input.chunks)) {
    digester.update(chunk);
    const { bytes } = digester;
    if (bytes > maxLayerBytes) throw limit(run.digest, `unpacks to more than ${maxLayerBytes} bytes`);
    if (bytes > RATIO_FREE_BYTES && bytes > input.packed.bytes * maxRatio)
      throw limit(run.digest, `unpacks to more than ${maxRatio} times its size`);
    await writer.write(chunk);
    unpack.onBytes(bytes);
    throwIfAborted(run.signal, `unpack the layer ${run.digest}`);
  }
  const found = digester.digest();
  if (found !== unpack.diffId) throw otherContent(run, found);
}

const limit = (digest: Digest, why: string): ImageError =>
  new ImageError('CTR_IMAGE_LIMIT', `the layer ${digest} ${why}`, { digest }, { hint: 'if that is right, raise the limits option' });
