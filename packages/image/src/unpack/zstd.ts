// Decodes zstd layers: by node:zlib where the runtime has it (Node 22.15 or newer), else in JavaScript on a thread, eight times slower.
import { finished } from 'node:stream/promises';
import zlib from 'node:zlib';
import { ImageError } from '@ctr/internal/errors';
import { openEngine, type ZstdEngine } from './zstd-engine.js';
import { type FrameHeader, type FramePart, MAX_BLOCK_OUTPUT, zstdFrames } from './zstd-frames.js';

type NativeDecoder = (options: { chunkSize: number }) => zlib.Gunzip;
const createNative = (zlib as { createZstdDecompress?: NativeDecoder }).createZstdDecompress;

/** True when this runtime decodes zstd natively. */
export const hasNativeZstd: boolean = createNative !== undefined;

const OUTPUT = 256 * 1024;
/** A frame this short is read whole before it is decoded: then its true need of memory is known. */
const SHORT_FRAME = 1024 * 1024;
/** Memory that frames together may claim, beyond 16 bytes for each byte they really gave. */
const FREE_WINDOWS = 2 ** 30;

const bad = (error: unknown): ImageError =>
  error instanceof ImageError
    ? error
    : new ImageError('CTR_IMAGE_INVALID', 'the zstd data of the layer is damaged', undefined, { cause: error });

/** Decodes a stream of zstd frames; skippable ones (zstd:chunked has them) are passed over. */
export function zstdDecompress(
  source: AsyncIterable<Uint8Array>,
  native = hasNativeZstd,
  engine: () => ZstdEngine = openEngine,
): AsyncGenerator<Uint8Array> {
  return native && createNative !== undefined ? decodeNatively(source, createNative) : decodeInJavaScript(source, engine());
}

async function* decodeNatively(source: AsyncIterable<Uint8Array>, create: NativeDecoder): AsyncGenerator<Uint8Array> {
  const parts = zstdFrames(source);
  try {
    for (let part = await parts.next(); !part.done; part = await parts.next()) {
      const decoder = create({ chunkSize: OUTPUT });
      const feeding = feed(decoder, part.value, parts).catch((error: Error) => void decoder.destroy(error));
      try {
        for await (const chunk of decoder) yield chunk as Uint8Array;
      } catch (error) {
        throw bad(error);
      } finally {
        decoder.destroy();
        await feeding;
      }
    }
  } finally {
    await parts.return(undefined);
  }
}

/** Writes one frame to a decoder of its own. */
async function feed(decoder: zlib.Gunzip, first: FramePart, parts: AsyncGenerator<FramePart>): Promise<void> {
  const closed = finished(decoder, { readable: false }).catch(() => undefined);
  for (let part = first; ; ) {
    const bytes = 'header' in part ? part.header.bytes : part.block;
    if (!decoder.write(bytes)) await Promise.race([drained(decoder), closed]);
    if (decoder.destroyed) return;
    if ('block' in part && part.last) break;
    const next = await parts.next();
    if (next.done) break;
    part = next.value;
  }
  decoder.end();
}

const drained = (decoder: zlib.Gunzip): Promise<void> => new Promise((resolve) => decoder.once('drain', resolve));

/** Decodes with fzstd, a decoder for each frame. */
async function* decodeInJavaScript(source: AsyncIterable<Uint8Array>, engine: ZstdEngine): AsyncGenerator<Uint8Array> {
  const frame = new FrameDecoder(engine);
  try {
    for await (const part of zstdFrames(source)) {
      if ('header' in part) frame.begin(part.header);
      else frame.add(part.block, part.last);
      if (frame.isDue()) yield* await frame.decode();
    }
  } finally {
    await engine.close();
  }
}

/** Blocks decoded at once: at most 8 MiB come of them, however small they are. */
const MAX_BLOCKS = 64;
const MAX_INPUT = 256 * 1024;

/** Collects a frame's blocks, the first ones until its need of memory is known, and hands them on in batches. */
class FrameDecoder {
  readonly #engine: ZstdEngine;
  #begun = false;
  #header: FrameHeader | undefined;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #complete = false;
  #claimed = 0;
  #produced = 0;

  constructor(engine: ZstdEngine) {
    this.#engine = engine;
  }

  begin(header: FrameHeader): void {
    this.#header = header;
    this.#begun = false;
    this.#complete = false;
  }

  add(block: Uint8Array, last: boolean): void {
    this.#held.push(block);
    this.#heldBytes += block.length;
    this.#complete = last;
  }

  /** True when what is held should be decoded now. */
  isDue(): boolean {
    if (this.#held.length === 0) return false;
    if (this.#complete || this.#held.length >= MAX_BLOCKS) return true;
    return this.#heldBytes >= (this.#begun ? MAX_INPUT : SHORT_FRAME);
  }

  async decode(): Promise<Uint8Array[]> {
    const blocks = this.#held;
    if (!this.#begun) this.#start();
    this.#begun = true;
    this.#held = [];
    this.#heldBytes = 0;
    // What the decoder says about the data; errors of the source go on as they are.
    const chunks = await this.#engine.push(blocks, this.#complete).catch((error: unknown) => {
      throw bad(error);
    });
    this.#produced += chunks.reduce((sum, chunk) => sum + chunk.length, 0);
    return chunks;
  }

  #start(): void {
    const header = this.#header as FrameHeader;
    const bytes = Buffer.from(header.bytes);
    let window = header.window;
    // Encoders that do not know the size announce 8 MiB for a frame of 1 KiB: with 30,000 frames (zstd:chunked) that memory
    // would cost more than the decoding. A complete frame cannot need more than its blocks can unpack to.
    const most = this.#held.length * MAX_BLOCK_OUTPUT;
    if (this.#complete && header.windowAt !== undefined && most < window) {
      const exponent = Math.ceil(Math.log2(most));
      bytes[header.windowAt] = (exponent - 10) << 3;
      window = 2 ** exponent;
    }
    this.#claimed += window;
    if (this.#claimed > FREE_WINDOWS + 16 * this.#produced)
      throw new ImageError('CTR_IMAGE_LIMIT', 'the zstd frames of the layer claim far more memory than they use');
    try {
      this.#engine.begin(bytes);
    } catch (error) {
      throw bad(error);
    }
  }
}
