// Lists the entries of an image archive (docker save, oci-archive): names, places and sizes, so that members are read in any order.
// It makes no files and is not the reader of layers: those go to the LayerSink.
import type { FileHandle } from 'node:fs/promises';
import { ImageError } from '@ctr/internal/errors';
import { BLOCK, badTar, cString, MAX_EXTENSION, normalizePath, type Pax, parseHeader, parsePax } from './parse.js';

/** Where a member's content lies in the archive. */
export interface Member {
  offset: number;
  size: number;
}

type Listed = Member | { linkTo: string };

/** Members of an archive: layers, configs and small files of three kinds; an attacker's 10^7 names must not fill the memory. */
const MAX_MEMBERS = 100_000;
const MAX_LINKS = 8;

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
      if (at + BLOCK + bytes > size) throw badTar('it ends within a member');
      if ('xLKg'.includes(header.type)) {
        if (bytes > MAX_EXTENSION) throw badTar('an extended header is longer than 1 MiB');
        const body = await readAt(handle, at + BLOCK, bytes);
        if (header.type === 'x') pick(pax, parsePax(body));
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
    let path = normalizePath(name);
    for (let hops = 0; path !== undefined && hops < MAX_LINKS; hops++) {
      const found = this.#members.get(path);
      if (found === undefined || 'offset' in found) return found;
      path = found.linkTo;
    }
    return undefined;
  }
}

/** Only what names and measures a member: the rest of a record is not kept. */
function pick(
  into: { path: string | undefined; linkpath: string | undefined; size: number | undefined },
  { path, linkpath, size }: Pax,
): void {
  if (path !== undefined) into.path = path;
  if (linkpath !== undefined) into.linkpath = linkpath;
  if (size !== undefined) into.size = size;
}

function add(members: Map<string, Listed>, name: string, type: string, place: Member, target: string): void {
  const path = normalizePath(name);
  if (path === undefined) return;
  if (members.size >= MAX_MEMBERS) throw new ImageError('CTR_IMAGE_LIMIT', `the archive has more than ${MAX_MEMBERS} members`);
  // The first of two with one name counts, as with whoever reads the archive in one pass.
  if (members.has(path)) return;
  if (type === '0' || type === '7') members.set(path, place);
  const base = type === '2' ? path.split('/').slice(0, -1).join('/') : '';
  const linkTo = type === '1' || type === '2' ? normalizePath(base === '' ? target : `${base}/${target}`) : undefined;
  if (linkTo !== undefined) members.set(path, { linkTo });
}

export async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(buffer, done, length - done, offset + done);
    if (bytesRead === 0) throw badTar('it ends too early');
    done += bytesRead;
  }
  return buffer;
}
