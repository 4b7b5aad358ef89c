// Builds tar archives byte by byte, also such as no tool would write. Every field can be given raw.

const BLOCK = 512;

export interface HeaderFields {
  name?: string | Uint8Array;
  mode?: number;
  uid?: number;
  gid?: number;
  /** A number is written in octal; bytes are put there as they are. */
  size?: number | Uint8Array;
  mtime?: number | Uint8Array;
  type?: string;
  link?: string;
  major?: number;
  minor?: number;
  prefix?: string;
  magic?: string;
  /** Put into the block after the checksum was made: damages it. */
  damage?: boolean;
}

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;

function put(block: Buffer, at: number, value: string | Uint8Array, width: number): void {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  block.set(bytes.subarray(0, width), at);
}

function putNumber(block: Buffer, at: number, value: number | Uint8Array, width: number): void {
  put(block, at, typeof value === 'number' ? octal(value, width) : value, width);
}

/** Base-256 of a number, in the 12 bytes of a size or time field. */
export function base256(value: bigint): Buffer {
  const bytes = Buffer.alloc(12);
  for (let i = 11, v = BigInt.asUintN(96, value); i >= 0; i--, v >>= 8n) bytes[i] = Number(v & 255n);
  bytes[0] = (bytes[0] ?? 0) | 0x80;
  return bytes;
}

export function header(f: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK);
  put(block, 0, f.name ?? 'file', 100);
  putNumber(block, 100, f.mode ?? 0o644, 8);
  putNumber(block, 108, f.uid ?? 0, 8);
  putNumber(block, 116, f.gid ?? 0, 8);
  putNumber(block, 124, f.size ?? 0, 12);
  putNumber(block, 136, f.mtime ?? 1_000_000_000, 12);
  put(block, 156, f.type ?? '0', 1);
  put(block, 157, f.link ?? '', 100);
  put(block, 257, f.magic ?? 'ustar\u000000', 8);
  putNumber(block, 329, f.major ?? 0, 8);
  putNumber(block, 337, f.minor ?? 0, 8);
  put(block, 345, f.prefix ?? '', 155);
  block.fill(' ', 148, 156);
  const sum = block.reduce((a, b) => a + b, 0);
  put(block, 148, `${sum.toString(8).padStart(6, '0')}\0 `, 8);
  if (f.damage) block[0] = (block[0] ?? 0) ^ 1;
  return block;
}

const padded = (body: Uint8Array): Buffer => Buffer.concat([body, Buffer.alloc((BLOCK - (body.length % BLOCK)) % BLOCK)]);

/** A header with a body whose length it says. */
export function withBody(f: HeaderFields, body: string | Uint8Array): Buffer {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  return Buffer.concat([header({ size: bytes.length, ...f }), padded(bytes)]);
}

export const file = (name: string, body: string | Uint8Array = 'content', f: HeaderFields = {}): Buffer => withBody({ name, ...f }, body);
export const dir = (name: string, f: HeaderFields = {}): Buffer => header({ name, type: '5', mode: 0o755, ...f });
export const symlink = (name: string, link: string, f: HeaderFields = {}): Buffer => header({ name, type: '2', link, mode: 0o777, ...f });
export const hardlink = (name: string, link: string, f: HeaderFields = {}): Buffer => header({ name, type: '1', link, ...f });

/** One record, its length counting itself. */
export function record(key: string, value: string | Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), typeof value === 'string' ? Buffer.from(value) : value, Buffer.from('\n')]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

/** An extended header for the next entry; a string is taken as the raw body. */
export function pax(records: Record<string, string | Uint8Array> | string, type = 'x'): Buffer {
  const body = typeof records === 'string' ? Buffer.from(records) : Buffer.concat(Object.entries(records).map(([k, v]) => record(k, v)));
  return withBody({ name: 'pax', type }, body);
}

/** GNU's long name (L) or long link (K). */
export const long = (type: 'L' | 'K', name: string): Buffer => withBody({ name: '././@LongLink', type, magic: 'ustar  ' }, `${name}\0`);

export const END = Buffer.alloc(2 * BLOCK);

export const archive = (...parts: Uint8Array[]): Buffer => Buffer.concat([...parts, END]);
