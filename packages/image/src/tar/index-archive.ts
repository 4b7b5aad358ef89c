// Lists the entries of an image archive (docker save, oci-archive): names, places and sizes, so that members are read in any order.
// It makes no files and is not the reader of layers: those go to the LayerSink.
import type { FileHandle } from 'node:fs/promises';
import { ImageError } from '@ctr/internal/errors';

/** Where a member's content lies in the archive. */
export interface Member {
  offset: number;
  size: number;
}

type Listed = Member | { linkTo: string };

const BLOCK = 512;
/** Members of an archive: layers, configs and small files of three kinds; an attacker's 10^7 names must not fill the memory. */
const MAX_MEMBERS = 100_000;
/** PAX and GNU long-name bodies. */
const MAX_EXTENSION = 1024 * 1024;
const MAX_LINKS = 8;

const bad = (why: string): ImageError => new ImageError('CTR_IMAGE_INVALID', `the archive is no tar file that can be read: ${why}`);

/** The regular members of a tar file by name; links lead to what they name inside the archive. */
export class ArchiveIndex {
  readonly #members: Map<string, Listed>;

  private constructor(members: Map<string, Listed>) {
    this.#members = members;
  }

  static async read(handle: FileHandle, size: number): Promise<ArchiveIndex> {
    const members = new Map<string, Listed>();
    const pax = { path: undefined as string | undefined, linkpath: undefined as string | undefined, size: undefined as number | undefined };
    for (let at = 0; at + BLOCK <= size; ) {
      const block = await readAt(handle, at, BLOCK);
      if (block.every((b) => b === 0)) break;
      const header = parseHeader(block);
      const bytes = pax.size ?? header.size;
      const next = at + BLOCK + Math.ceil(bytes / BLOCK) * BLOCK;
      if (at + BLOCK + bytes > size) throw bad('it ends within a member');
      if ('xLKg'.includes(header.type)) {
        if (bytes > MAX_EXTENSION) throw bad('an extended header is longer than 1 MiB');
        const body = await readAt(handle, at + BLOCK, bytes);
        if (header.type === 'x') Object.assign(pax, parsePax(body));
        else if (header.type === 'L') pax.path = cString(body);
        else if (header.type === 'K') pax.linkpath = cString(body);
      } else {
        add(members, pax.path ?? header.path, header.type, { offset: at + BLOCK, size: bytes }, pax.linkpath ?? header.target);
        Object.assign(pax, { path: undefined, linkpath: undefined, size: undefined });
      }
      at = next;
    }
    return new ArchiveIndex(members);
  }

  /** The member of a name, through symbolic and hard links within the archive; undefined when there is none. */
  find(name: string): Member | undefined {
    let path = normalize(name);
    for (let hops = 0; path !== undefined && hops < MAX_LINKS; hops++) {
      const found = this.#members.get(path);
      if (found === undefined || 'offset' in found) return found;
      path = found.linkTo;
    }
    return undefined;
  }
}

function add(members: Map<string, Listed>, name: string, type: string, place: Member, target: string): void {
  const path = normalize(name);
  if (path === undefined) return;
  if (members.size >= MAX_MEMBERS) throw new ImageError('CTR_IMAGE_LIMIT', `the archive has more than ${MAX_MEMBERS} members`);
  // The first of two with one name counts, as with whoever reads the archive in one pass.
  if (members.has(path)) return;
  if (type === '0' || type === '7') members.set(path, place);
  const base = type === '2' ? path.split('/').slice(0, -1).join('/') : '';
  const linkTo = type === '1' || type === '2' ? normalize(base === '' ? target : `${base}/${target}`) : undefined;
  if (linkTo !== undefined) members.set(path, { linkTo });
}

/** `./a//b/../c` is `a/c`; undefined for what leaves the archive. */
function normalize(name: string): string | undefined {
  const parts: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part !== '..') parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join('/');
}

export async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, length - done, offset + done);
    if (bytesRead === 0) throw bad('it ends too early');
    done += bytesRead;
  }
  return buffer;
}

const cString = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8').split('\0', 1)[0] as string;

function parseHeader(block: Buffer): { path: string; target: string; type: string; size: number } {
  const sum = block.reduce((a, b, i) => a + (i >= 148 && i < 156 ? 32 : b), 0);
  if (octal(block, 148, 8) !== sum) throw bad('a header has a wrong checksum');
  const ustar = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = ustar ? cString(block.subarray(345, 500)) : '';
  const name = cString(block.subarray(0, 100));
  const flag = block.toString('latin1', 156, 157);
  const path = prefix === '' ? name : `${prefix}/${name}`;
  return { path, target: cString(block.subarray(157, 257)), type: flag === '\0' ? '0' : flag, size: number(block, 124, 12) };
}

function octal(block: Buffer, at: number, length: number): number {
  const text = block
    .toString('latin1', at, at + length)
    .replace(/[\0 ]+$/, '')
    .trim();
  if (!/^[0-7]*$/.test(text)) throw bad('a number in a header is not octal');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** Octal, or base-256 of GNU when the highest bit is set. */
function number(block: Buffer, at: number, length: number): number {
  if (((block[at] as number) & 0x80) === 0) return octal(block, at, length);
  if (block[at] !== 0x80) throw bad('a size is negative or too large');
  const value = block.subarray(at + 1, at + length).reduce((n, b) => n * 256 + b, 0);
  if (!Number.isSafeInteger(value)) throw bad('a size is too large');
  return value;
}

function parsePax(body: Buffer): { path?: string; linkpath?: string; size?: number } {
  const found: { path?: string; linkpath?: string; size?: number } = {};
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const length = /^[1-9][0-9]{0,7}$/.test(digits) ? Number(digits) : 0;
    const equals = body.indexOf(0x3d, space);
    if (length < digits.length + 3 || at + length > body.length || body[at + length - 1] !== 0x0a || equals < 0 || equals >= at + length)
      throw bad('a PAX record is malformed');
    const key = body.toString('utf8', space + 1, equals);
    const value = body.toString('utf8', equals + 1, at + length - 1);
    if (value.includes('\0')) throw bad('a PAX value holds NUL');
    if (key === 'path' || key === 'linkpath') found[key] = value;
    if (key === 'size') {
      if (!/^[0-9]{1,15}$/.test(value)) throw bad('a PAX size is no number');
      found.size = Number(value);
    }
    at += length;
  }
  return found;
}
