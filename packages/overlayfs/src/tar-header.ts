// Tar blocks for what a writable layer holds: ustar, with a PAX header where a field does not fit.
// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>, "pax Header Block" and "ustar Interchange Format".

export const BLOCK = 512;
/** Two zero blocks end an archive. */
export const END: Uint8Array = Buffer.alloc(2 * BLOCK);

/** The type flags that are written. */
export type TarType = '0' | '1' | '2' | '3' | '4' | '5' | '6' | 'x';

export interface TarFields {
  readonly type: TarType;
  readonly path: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds; and nanoseconds, which only PAX keeps. */
  readonly mtime: number;
  readonly mtimeNs: number;
  /** Target of a symbolic or hard link. */
  readonly link?: Buffer;
  readonly major?: number;
  readonly minor?: number;
  readonly xattrs?: Readonly<Record<string, Buffer>>;
}

const OCTAL_7 = 0o7777777;
const OCTAL_11 = 0o77777777777;
const isAscii = (bytes: Buffer): boolean => bytes.every((c) => c < 128);

function octal(block: Buffer, value: number, at: number, width: number): void {
  block.write(value.toString(8).padStart(width - 1, '0'), at, 'latin1');
}

function record(key: string, value: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  // The length counts its own digits.
  let length = body.length + 1;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
}

function block(f: TarFields): Buffer {
  const out = Buffer.alloc(BLOCK);
  f.path.subarray(0, 100).copy(out, 0);
  octal(out, f.mode & 0o7777, 100, 8);
  octal(out, Math.min(f.uid, OCTAL_7), 108, 8);
  octal(out, Math.min(f.gid, OCTAL_7), 116, 8);
  octal(out, Math.min(f.size, OCTAL_11), 124, 12);
  octal(out, Math.min(Math.max(f.mtime, 0), OCTAL_11), 136, 12);
  out.write(f.type, 156, 'latin1');
  f.link?.subarray(0, 100).copy(out, 157);
  out.write('ustar\x0000', 257, 'latin1');
  octal(out, Math.min(f.major ?? 0, OCTAL_7), 329, 8);
  octal(out, Math.min(f.minor ?? 0, OCTAL_7), 337, 8);
  out.fill(' ', 148, 156);
  const sum = out.reduce((a, b) => a + b, 0);
  out.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return out;
}

/** The blocks before an entry's content. */
export function tarHeader(f: TarFields): Buffer {
  const records: Buffer[] = [];
  const number = (key: string, value: number, most: number): void => {
    if (value > most || value < 0) records.push(record(key, Buffer.from(String(value))));
  };
  if (f.path.length > 100 || !isAscii(f.path)) records.push(record('path', f.path));
  if (f.link !== undefined && (f.link.length > 100 || !isAscii(f.link))) records.push(record('linkpath', f.link));
  number('uid', f.uid, OCTAL_7);
  number('gid', f.gid, OCTAL_7);
  number('size', f.size, OCTAL_11);
  if (f.mtimeNs !== 0 || f.mtime < 0 || f.mtime > OCTAL_11) records.push(record('mtime', Buffer.from(timestamp(f))));
  for (const [key, value] of Object.entries(f.xattrs ?? {})) records.push(record(`SCHILY.xattr.${key}`, value));
  if (records.length === 0) return block(f);
  const body = Buffer.concat(records);
  const extended = block({
    type: 'x',
    path: Buffer.from('PaxHeader'),
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: body.length,
    mtime: 0,
    mtimeNs: 0,
  });
  return Buffer.concat([extended, body, Buffer.alloc(padding(body.length)), block(f)]);
}

/** A time before 1970 counts its fraction backwards in PAX. */
function timestamp({ mtime, mtimeNs }: TarFields): string {
  const total = BigInt(mtime) * 1_000_000_000n + BigInt(mtimeNs);
  const positive = total < 0n ? -total : total;
  const fraction = (positive % 1_000_000_000n).toString().padStart(9, '0');
  return `${total < 0n ? '-' : ''}${positive / 1_000_000_000n}.${fraction}`;
}

/** Zeros from the end of a content up to the block's border. */
export const padding = (size: number): number => (BLOCK - (size % BLOCK)) % BLOCK;
