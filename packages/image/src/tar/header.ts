// The 512 bytes before each tar entry, and the PAX records for what does not fit into them.

/** What a header says. */
export interface HeaderFacts {
  path: string;
  target: string;
  type: string;
  mode: number;
  uid: number;
  gid: number;
  mtime: number;
  size: number;
  /** Of devices. */
  major?: number;
  minor?: number;
}

export const typeFlags = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
} as const;

const BLOCK = 512;
/** Largest number in an octal field of seven or eleven digits. */
const MAX_7 = 0o7777777;
const MAX_11 = 0o77777777777;

/** A ustar header. What is too long or too large here is cut: `paxRecords` says it in full, before. */
export function encodeHeader(h: HeaderFacts): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  writeText(block, h.path, 0, 100);
  writeOctal(block, h.mode, 100, 8);
  writeOctal(block, Math.min(h.uid, MAX_7), 108, 8);
  writeOctal(block, Math.min(h.gid, MAX_7), 116, 8);
  writeOctal(block, h.size > MAX_11 ? 0 : h.size, 124, 12);
  writeOctal(block, Math.min(h.mtime, MAX_11), 136, 12);
  block.fill(' ', 148, 156);
  block.write(h.type, 156, 'latin1');
  writeText(block, h.target, 157, 100);
  block.write('ustar\u000000', 257, 'latin1');
  if (h.major !== undefined) writeOctal(block, h.major, 329, 8);
  if (h.minor !== undefined) writeOctal(block, h.minor, 337, 8);
  const sum = block.reduce((a, b) => a + b, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** A copy of a header with other names, one byte to a character; they are cut at 100 bytes, as `paxRecord` says them in full. */
export function encodeNames(header: Uint8Array, h: { path: string; target: string; type?: string; size?: number }): Buffer {
  const block = Buffer.from(header);
  block.fill(0, 0, 100).write(h.path.slice(0, 100), 0, 'latin1');
  block.fill(0, 157, 257).write(h.target.slice(0, 100), 157, 'latin1');
  // The prefix is a part of the old name, but only ustar has one there: GNU keeps the map of sparse files in its place.
  if (block.toString('latin1', 257, 263) === 'ustar\0') block.fill(0, 345, 500);
  if (h.type !== undefined) block.write(h.type, 156, 'latin1');
  if (h.size !== undefined) writeOctal(block.fill(0, 124, 136), h.size, 124, 12);
  block.fill(' ', 148, 156);
  const sum = block.subarray(0, BLOCK).reduce((a, b) => a + b, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Whole characters only: a name cut within one would be no UTF-8. */
function writeText(block: Buffer, text: string, at: number, length: number): void {
  block.write(text, at, length, 'utf8');
}

function writeOctal(block: Buffer, value: number, at: number, length: number): void {
  block.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1');
}

/** Names that ustar holds as they are. */
const isPlain = (text: string): boolean => text.length <= 100 && /^[\x20-\x7e]*$/.test(text);

/** A PAX entry that goes before the header, empty when ustar suffices. */
export function paxRecords(h: HeaderFacts): Uint8Array {
  const records = [
    ...(isPlain(h.path) ? [] : [record('path', h.path)]),
    ...(isPlain(h.target) ? [] : [record('linkpath', h.target)]),
    ...(h.size > MAX_11 ? [record('size', String(h.size))] : []),
    ...(h.uid > MAX_7 ? [record('uid', String(h.uid))] : []),
    ...(h.gid > MAX_7 ? [record('gid', String(h.gid))] : []),
    ...(h.mtime > MAX_11 ? [record('mtime', String(h.mtime))] : []),
  ];
  if (records.length === 0) return new Uint8Array(0);
  const body = Buffer.concat(records);
  const header = encodeHeader({ path: 'PaxHeader', target: '', type: 'x', mode: 0o644, uid: 0, gid: 0, mtime: 0, size: body.length });
  return Buffer.concat([header, body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)]);
}

/** A PAX record whose value is bytes, one to a character. */
export const paxRecord = (key: string, value: string): Buffer => record(key, Buffer.from(value, 'latin1'));

/** `length key=value\n`, where the length counts its own digits. */
function record(key: string, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value as string);
  const rest = Buffer.byteLength(` ${key}=\n`) + bytes.length;
  let length = rest + String(rest).length;
  if (rest + String(length).length > length) length++;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), bytes, Buffer.from('\n')]);
}
