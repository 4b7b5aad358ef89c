// What tar headers say: ustar, GNU and PAX. Lists archives and merges layers; it makes no files (that is the LayerSink's work).
import { ImageError } from '@ctr/internal/errors';

export const BLOCK = 512;
/** PAX and GNU long-name bodies. */
export const MAX_EXTENSION = 1024 * 1024;

export const badTar = (why: string): ImageError =>
  new ImageError('CTR_IMAGE_INVALID', `the archive is no tar file that can be read: ${why}`);

/** The fields of one 512-byte header. */
export interface Header {
  path: string;
  target: string;
  /** The type flag; '0' for the NUL of old archives. */
  type: string;
  size: number;
  mode: number;
  uid: number;
  gid: number;
  /** Seconds since 1970. */
  mtime: number;
  deviceMajor: number;
  deviceMinor: number;
}

/** PAX records that change how an entry is read; others are kept but mean nothing here. */
export interface Pax {
  path?: string;
  linkpath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: number;
  /** GNU.sparse.name: the real name of a sparse file. */
  sparseName?: string;
}

/** Names are bytes: `latin1` keeps two different ones different, `utf8` is for reading. */
export type NameEncoding = 'utf8' | 'latin1';

export const cString = (bytes: Uint8Array, encoding: NameEncoding = 'utf8'): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(encoding).split('\0', 1)[0] as string;

export function parseHeader(block: Buffer, encoding: NameEncoding = 'utf8'): Header {
  const sum = block.reduce((a, b, i) => a + (i >= 148 && i < 156 ? 32 : b), 0);
  if (octal(block, 148, 8) !== sum) throw badTar('a header has a wrong checksum');
  const ustar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = ustar ? cString(block.subarray(345, 500), encoding) : '';
  const name = cString(block.subarray(0, 100), encoding);
  const flag = block.toString('latin1', 156, 157);
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    target: cString(block.subarray(157, 257), encoding),
    type: flag === '\0' ? '0' : flag,
    size: number(block, 124, 12),
    mode: octal(block, 100, 8) & 0o7777,
    uid: number(block, 108, 8),
    gid: number(block, 116, 8),
    mtime: time(block),
    deviceMajor: number(block, 329, 8),
    deviceMinor: number(block, 337, 8),
  };
}

/** Times may be before 1970, which base-256 says with set bits: those are clamped, as nothing depends on them. */
function time(block: Buffer): number {
  return block[136] === 0xff ? 0 : number(block, 136, 12);
}

function octal(block: Buffer, at: number, length: number): number {
  const text = block
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .trim();
  if (!/^[0-7]*$/.test(text)) throw badTar('a number in a header is not octal');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** Octal, or base-256 of GNU when the highest bit is set. */
function number(block: Buffer, at: number, length: number): number {
  if (((block[at] as number) & 0x80) === 0) return octal(block, at, length);
  if (block[at] !== 0x80) throw badTar('a number is negative or too large');
  const value = block.subarray(at + 1, at + length).reduce((n, b) => n * 256 + b, 0);
  if (!Number.isSafeInteger(value)) throw badTar('a number is too large');
  return value;
}

/** Keys that change how an entry is read. */
const KEYS: ReadonlyMap<string, keyof Pax> = new Map([
  ['path', 'path'],
  ['linkpath', 'linkpath'],
  ['size', 'size'],
  ['uid', 'uid'],
  ['gid', 'gid'],
  ['mtime', 'mtime'],
  ['GNU.sparse.name', 'sparseName'],
]);

/** One record `length key=value\n` of an extended header. */
export interface PaxRecord {
  key: string;
  value: Buffer;
  /** The whole record as it is. */
  bytes: Buffer;
}

/** SPEC(pax): splits the body of an extended header; what is malformed is refused, never passed over (V49). */
export function* paxRecordsOf(body: Buffer): Generator<PaxRecord> {
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const length = /^[1-9][0-9]{0,7}$/.test(digits) ? Number(digits) : 0;
    const equals = body.indexOf(0x3d, space);
    const end = at + length;
    if (length < digits.length + 3 || end > body.length || body[end - 1] !== 0x0a || equals < 0 || equals >= end)
      throw badTar('a PAX record is malformed');
    yield { key: body.toString('utf8', space + 1, equals), value: body.subarray(equals + 1, end - 1), bytes: body.subarray(at, end) };
    at = end;
  }
}

/** What an extended header says about the next entry; a size that is given here wins over the header's. */
export function parsePax(body: Buffer, encoding: NameEncoding = 'utf8'): Pax {
  const found: Pax = {};
  for (const { key, value } of paxRecordsOf(body)) {
    const field = KEYS.get(key);
    // The values of attributes are bytes; those of the keys above are text without NUL.
    if (field !== undefined) note(found, field, value.toString(encoding));
  }
  return found;
}

function note(found: Pax, field: keyof Pax, value: string): void {
  if (value.includes('\0')) throw badTar('a PAX value holds NUL');
  if (field === 'path' || field === 'linkpath' || field === 'sparseName') found[field] = value;
  else if (field === 'mtime') found.mtime = Math.max(0, Math.trunc(Number.parseFloat(value)) || 0);
  else {
    if (!/^[0-9]{1,15}$/.test(value)) throw badTar(`a PAX ${field} is no number`);
    found[field] = Number(value);
  }
}

/** `./a//b/../c` is `a/c`; undefined for what leaves the archive. */
export function normalizePath(name: string): string | undefined {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}
