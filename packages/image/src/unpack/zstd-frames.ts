// Splits a zstd stream into frames and blocks without decoding them. Needed for three reasons: Node's own decoder drops what follows
// a frame in the same write <https://github.com/nodejs/node/issues/64741>, memory must be bounded before a decoder allocates it, and
// the decoder in JavaScript must be fed one block at a time to keep the event loop free.
// SPEC: RFC 8878, 3.1 <https://www.rfc-editor.org/rfc/rfc8878#section-3.1>
import { ImageError } from '@ctr/internal/errors';
import { MAX_ZSTD_WINDOW } from '../limits.js';
import { ByteReader } from './byte-reader.js';

const MAGIC = 0xfd2fb528;
const SKIPPABLE = 0x184d2a50;
/** Block_Maximum_Size: no block may be larger, compressed or not. */
const MAX_BLOCK = 128 * 1024;

export interface FrameHeader {
  /** The bytes of the header, magic number included. */
  bytes: Uint8Array;
  /** Memory the decoder needs for this frame. */
  window: number;
  /** Where the window descriptor is; undefined for a frame that says its size instead. */
  windowAt: number | undefined;
  checksum: boolean;
}

export type FramePart = { header: FrameHeader } | { block: Uint8Array; last: boolean };

const bad = (why: string): ImageError => new ImageError('CTR_IMAGE_INVALID', `the zstd data of the layer is damaged: ${why}`);

/** Yields for each frame its header and then its blocks; the last block brings the checksum along. Skippable frames are passed over. */
export async function* zstdFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<FramePart> {
  const reader = new ByteReader(source);
  try {
    for (;;) {
      const magic = await reader.read(4);
      if (magic.length === 0) return;
      const number = magic.length === 4 ? view(magic).getUint32(0, true) : 0;
      if ((number & 0xfffffff0) >>> 0 === SKIPPABLE) await skipFrame(reader);
      else if (number === MAGIC) {
        const header = await readHeader(reader, magic);
        yield { header };
        yield* readBlocks(reader, header);
      } else throw bad('a frame begins with an unknown magic number');
    }
  } finally {
    await reader.close();
  }
}

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

async function exactly(reader: ByteReader, length: number): Promise<Uint8Array> {
  const bytes = await reader.read(length);
  if (bytes.length < length) throw bad('it ends within a frame');
  return bytes;
}

async function skipFrame(reader: ByteReader): Promise<void> {
  const size = view(await exactly(reader, 4)).getUint32(0, true);
  if (!(await reader.skip(size))) throw bad('it ends within a frame');
}

async function readHeader(reader: ByteReader, magic: Uint8Array): Promise<FrameHeader> {
  const descriptor = await exactly(reader, 1);
  const flags = descriptor[0] as number;
  const singleSegment = (flags & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][flags & 3] as number;
  const sizeBytes = [singleSegment ? 1 : 0, 2, 4, 8][flags >> 6] as number;
  if ((flags & 0x08) !== 0) throw bad('a reserved bit is set');
  const windowBytes = singleSegment ? 0 : 1;
  const rest = await exactly(reader, windowBytes + dictionaryBytes + sizeBytes);
  if (rest.subarray(windowBytes, windowBytes + dictionaryBytes).some((b) => b !== 0)) throw bad('it needs a dictionary');
  const window = singleSegment ? contentSize(rest.subarray(dictionaryBytes)) : windowSize(rest[0] as number);
  if (window > MAX_ZSTD_WINDOW)
    throw new ImageError(
      'CTR_IMAGE_LIMIT',
      `the zstd data of the layer needs a window of ${window} bytes, at most ${MAX_ZSTD_WINDOW} are accepted`,
    );
  const bytes = Buffer.concat([magic, descriptor, rest]);
  return { bytes, window, windowAt: singleSegment ? undefined : 5, checksum: (flags & 0x04) !== 0 };
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function contentSize(bytes: Uint8Array): number {
  const v = view(bytes);
  if (bytes.length === 1) return v.getUint8(0);
  if (bytes.length === 2) return v.getUint16(0, true) + 256;
  return bytes.length === 4 ? v.getUint32(0, true) : Number(v.getBigUint64(0, true));
}

async function* readBlocks(reader: ByteReader, header: FrameHeader): AsyncGenerator<FramePart> {
  for (let last = false; !last; ) {
    const head = await exactly(reader, 3);
    const number = (head[0] as number) | ((head[1] as number) << 8) | ((head[2] as number) << 16);
    const [type, size] = [(number >> 1) & 3, number >> 3];
    last = (number & 1) === 1;
    if (type === 3 || size > MAX_BLOCK) throw bad('a block has a wrong type or size');
    // A run-length block is one byte that stands for `size` of them.
    const payload = await exactly(reader, (type === 1 ? 1 : size) + (last && header.checksum ? 4 : 0));
    yield { block: Buffer.concat([head, payload]), last };
  }
}

/** The size to which a block of a complete frame can unpack at most. */
export const MAX_BLOCK_OUTPUT = MAX_BLOCK;
