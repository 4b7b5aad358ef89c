// Decodes zstd layers: by node:zlib where the runtime has it (Node 22.15 or newer), else in JavaScript, eight times slower.
import { finished } from 'node:stream/promises';
import zlib from 'node:zlib';
import { ImageError } from '@ctr/internal/errors';
import { Decompress } from 'fzstd';
import { Pacer } from './pacer.js';
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
export function zstdDecompress(source: AsyncIterable<Uint8Array>, native = hasNativeZstd): AsyncGenerator<Uint8Array> {
  return native && createNative !== undefined ? decodeNatively(source, createNative) : decodeInJavaScript(source);
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

/** Decodes with fzstd, a decoder for each frame, a block at a time. */
async function* decodeInJavaScript(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const pacer = new Pacer();
  const frame = new FrameDecoder();
  for await (const part of zstdFrames(source)) {
    if ('header' in part) frame.begin(part.header);
    else frame.add(part.block, part.last);
    for (const work of frame.ready()) {
      try {
        work();
      } catch (error) {
        throw bad(error);
      }
      if (pacer.due()) await pacer.rest();
      if (frame.pending >= OUTPUT) yield frame.take();
    }
  }
  if (frame.pending > 0) yield frame.take();
}

/** Collects a frame's first blocks, then decodes; `ready` hands out one step of work at a time. */
class FrameDecoder {
  #decoder: Decompress | undefined;
  #header: FrameHeader | undefined;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  #complete = false;
  #output: Uint8Array[] = [];
  #claimed = 0;
  #produced = 0;
  /** Decoded bytes that wait to be taken. */
  pending = 0;

  begin(header: FrameHeader): void {
    this.#header = header;
    this.#decoder = undefined;
    this.#complete = false;
  }

  add(block: Uint8Array, last: boolean): void {
    this.#held.push(block);
    this.#heldBytes += block.length;
    this.#complete = last;
  }

  *ready(): Generator<() => void> {
    if (this.#decoder === undefined && !this.#complete && this.#heldBytes < SHORT_FRAME) return;
    if (this.#decoder === undefined) yield () => this.#start();
    const blocks = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    for (const [i, block] of blocks.entries()) yield () => this.#decoder?.push(block, this.#complete && i === blocks.length - 1);
  }

  take(): Uint8Array {
    const [first] = this.#output;
    const all = this.#output.length === 1 && first !== undefined ? first : Buffer.concat(this.#output, this.pending);
    this.#output = [];
    this.pending = 0;
    return all;
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
    this.#decoder = new Decompress((chunk) => this.#keep(chunk));
    this.#decoder.push(bytes);
  }

  #keep(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#output.push(chunk);
    this.pending += chunk.length;
    this.#produced += chunk.length;
  }
}
