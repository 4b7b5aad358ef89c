// Reads a tar stream entry by entry, with the header blocks as they were, so that entries can be passed on unchanged.
import { ImageError } from '@ctr/internal/errors';
import { ByteReader } from '../unpack/byte-reader.js';
import { BLOCK, badTar, cString, type Header, MAX_EXTENSION, type Pax, parseHeader, parsePax } from './parse.js';

/** One entry, with what its PAX and GNU headers say about it. Names are bytes, one to a character. */
export interface TarMember extends Header {
  /** All blocks before the content, extension headers included, byte for byte. */
  readonly blocks: Uint8Array;
  /** The content as it lies in the archive, padded to whole blocks. What is not read is passed over. */
  body(): AsyncGenerator<Uint8Array>;
}

/** Entries of one layer: node_modules has 10^5, an attack 10^7 (L-43). */
const MAX_MEMBERS = 5_000_000;
/** Extension headers before one entry: real archives have three at most (CVE-2022-2879). */
const MAX_EXTENSIONS = 16;
const PIECE = 256 * 1024;

/** Reads to the two blocks of zeros, or the end of the stream. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const reader = new ByteReader(source);
  try {
    for (let count = 0; ; count++) {
      const head = await readHead(reader);
      // Whoever verifies the stream must see all of it.
      if (head === undefined) return await drain(reader);
      if (count >= MAX_MEMBERS) throw new ImageError('CTR_IMAGE_LIMIT', `the archive has more than ${MAX_MEMBERS} members`);
      const content = { left: Math.ceil(head.stored / BLOCK) * BLOCK };
      yield { ...head.header, blocks: head.blocks, body: () => readBody(reader, content) };
      while (content.left > 0) await readPiece(reader, content);
    }
  } finally {
    await reader.close();
  }
}

async function drain(reader: ByteReader): Promise<void> {
  while ((await reader.read(PIECE)).length > 0);
}

async function* readBody(reader: ByteReader, content: { left: number }): AsyncGenerator<Uint8Array> {
  while (content.left > 0) yield await readPiece(reader, content);
}

async function readPiece(reader: ByteReader, content: { left: number }): Promise<Uint8Array> {
  const piece = await reader.read(Math.min(PIECE, content.left));
  if (piece.length === 0) throw badTar('it ends within a member');
  content.left -= piece.length;
  // The padding of the last member is missing in some archives; a member's content is not.
  if (content.left > 0 && content.left < BLOCK && piece.length % BLOCK !== 0) throw badTar('it ends within a member');
  return piece;
}

interface Head {
  header: Header;
  blocks: Uint8Array;
  /** Bytes of content in the archive. */
  stored: number;
}

/** The next entry's headers; undefined at the end. */
async function readHead(reader: ByteReader): Promise<Head | undefined> {
  const blocks: Uint8Array[] = [];
  const pax: Pax = {};
  for (let extensions = 0; ; extensions++) {
    const block = await reader.read(BLOCK);
    if (block.length === 0 && extensions === 0) return undefined;
    if (block.length < BLOCK) throw badTar('it ends within a header');
    if (block.every((b) => b === 0)) {
      if (extensions > 0) throw badTar('an extended header belongs to no member');
      return undefined;
    }
    const header = parseHeader(Buffer.from(block.buffer, block.byteOffset, block.length), 'latin1');
    if (!'xLKg'.includes(header.type)) {
      if ('123456'.includes(header.type) && (pax.size ?? header.size) > 0) throw badTar('a member that is no file has content');
      blocks.push(block, ...(await sparseBlocks(reader, header, block)));
      return { header: withPax(header, pax), blocks: Buffer.concat(blocks), stored: pax.size ?? header.size };
    }
    if (extensions >= MAX_EXTENSIONS) throw badTar('a member has too many extended headers');
    if (header.size > MAX_EXTENSION) throw badTar('an extended header is longer than 1 MiB');
    const body = await reader.read(Math.ceil(header.size / BLOCK) * BLOCK);
    if (body.length < header.size) throw badTar('it ends within an extended header');
    const text = Buffer.from(body.buffer, body.byteOffset, header.size);
    if (header.type === 'g') refuseGlobal(parsePax(text));
    else {
      blocks.push(block, body);
      if (header.type === 'x') Object.assign(pax, parsePax(text, 'latin1'));
      else if (header.type === 'L') pax.path = cString(text, 'latin1');
      else pax.linkpath = cString(text, 'latin1');
    }
  }
}

/** Git writes a comment for the whole archive; what would change every entry is not worth following, and so is refused. */
function refuseGlobal(pax: Pax): void {
  if (Object.keys(pax).length > 0) throw badTar('a global header sets names or sizes');
}

/** The map of an old GNU sparse file goes on in further blocks as long as a flag says so. */
async function sparseBlocks(reader: ByteReader, header: Header, first: Uint8Array): Promise<Uint8Array[]> {
  const more: Uint8Array[] = [];
  for (let flag = header.type === 'S' ? first[482] : 0; flag; flag = more.at(-1)?.[504]) {
    const block = await reader.read(BLOCK);
    if (block.length < BLOCK || more.length > MAX_SPARSE_BLOCKS) throw badTar('the map of a sparse file does not end');
    more.push(block);
  }
  return more;
}

/** 21 regions each. */
const MAX_SPARSE_BLOCKS = 50_000;

function withPax(header: Header, pax: Pax): Header {
  const { sparseName, linkpath, path = header.path, ...numbers } = pax;
  return { ...header, ...numbers, path: sparseName ?? path, target: linkpath ?? header.target };
}
