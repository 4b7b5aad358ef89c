// The changes of a writable layer as a tar layer of an OCI image: what a commit stores.
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { ImageError } from '@ctr/internal/errors';
import { type DiffOptions, heldWalk, isChange, typeOf } from './diff-upper.js';
import { errorOf } from './layer-error.js';
import { native, type ScannedEntry } from './native.js';
import { END, padding, type TarFields, type TarType, tarHeader } from './tar-header.js';
import { isDirectory, type UpperEntry } from './upper-walk.js';

const CHUNK = 256 * 1024;
const TYPES: Readonly<Record<string, TarType>> = {
  file: '0',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};
const readInto = promisify(read);

/**
 * The changes of a writable layer as an uncompressed tar stream, a layer by the OCI image specification: `.wh.` entries for what
 * was deleted, `.wh..wh..opq` where a directory was replaced, hard links as such, owners, times to the nanosecond,
 * `security.capability` and `user.*` attributes. The same upper gives the same bytes. Sockets are left out, as in every archive.
 *
 * @remarks As {@link diffUpper}. The directories above a change are in it, so that their owners and modes are said.
 * @throws as {@link diffUpper}; {@link ImageError} CTR_IMAGE_INVALID when a file becomes shorter while it is read.
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 * @example
 * ```ts
 * await pipeline(packUpper('/work/1', { lower: ['/layers/base'] }), createGzip(), createWriteStream('layer.tar.gz'))
 * ```
 */
export async function* packUpper(uppers: string | readonly string[], options: DiffOptions): AsyncGenerator<Uint8Array> {
  const firstOf = new Map<string, Buffer>();
  // Directories whose own facts did not change, until something below them did.
  let above: UpperEntry[] = [];
  for await (const entry of heldWalk(uppers, options)) {
    above = above.filter((directory) => isAbove(directory.path, entry.path));
    if (!isChange(entry)) {
      if (entry.path.length > 0 && entry.node !== undefined && isDirectory(entry.node)) above.push(entry);
      continue;
    }
    for (const directory of above.splice(0)) yield* pack(directory, firstOf);
    yield* pack(entry, firstOf);
  }
  yield END;
}

const isAbove = (directory: Buffer, path: Buffer): boolean =>
  directory.length === 0 ||
  (path.length > directory.length && path[directory.length] === 0x2f && path.subarray(0, directory.length).equals(directory));

/** The directory and the name. */
function split(path: Buffer): [Buffer, Buffer] {
  const slash = path.lastIndexOf(0x2f);
  return [path.subarray(0, slash + 1), path.subarray(slash + 1)];
}

const MARK = { mode: 0o600, uid: 0, gid: 0, size: 0, mtime: 0, mtimeNs: 0, type: '0' } as const;

async function* pack(entry: UpperEntry, firstOf: Map<string, Buffer>): AsyncGenerator<Uint8Array> {
  const { node, path } = entry;
  if (node === undefined) {
    const [directory, name] = split(path);
    yield tarHeader({ ...MARK, path: Buffer.concat([directory, Buffer.from('.wh.'), name]) });
    return;
  }
  const type = TYPES[typeOf(node)];
  if (type === undefined) return; // a socket
  const first = firstOf.get(node.inode);
  if (first !== undefined && type !== '5') {
    yield tarHeader({ ...fieldsOf(node, path, '1'), size: 0, link: first });
    return;
  }
  if (node.links > 1) firstOf.set(node.inode, path);
  yield tarHeader(fieldsOf(node, path, type));
  if (entry.replaced) yield tarHeader({ ...MARK, path: Buffer.concat([path, Buffer.from('/.wh..wh..opq')]) });
  if (type === '0' && node.size > 0) yield* content(entry, node);
}

function fieldsOf(node: ScannedEntry, path: Buffer, type: TarType): TarFields {
  const { mode, uid, gid, mtime, mtimeNs, major, minor, target } = node;
  const name = type === '5' ? Buffer.concat([path.length === 0 ? Buffer.from('.') : path, Buffer.from('/')]) : path;
  const kept = Object.entries(node.xattrs).filter(
    ([key]) => key === 'security.capability' || (key.startsWith('user.') && !key.startsWith('user.overlay.')),
  );
  const link = target === undefined ? {} : { link: target };
  return {
    type,
    path: name,
    mode,
    uid,
    gid,
    size: type === '0' ? node.size : 0,
    mtime,
    mtimeNs,
    major,
    minor,
    ...link,
    xattrs: type === '1' ? {} : Object.fromEntries(kept),
  };
}

/** Exactly as many bytes as the header says: a longer file is cut, a shorter one is an error. */
async function* content({ layer, path }: UpperEntry, node: ScannedEntry): AsyncGenerator<Uint8Array> {
  const doing = `pack ${JSON.stringify(path.toString())} of ${layer.path}`;
  const binding = native();
  const fd = await binding.openFileBelow(layer.fd, path).catch((e) => {
    throw errorOf(e, doing);
  });
  try {
    for (let left = node.size; left > 0; ) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK, left));
      const { bytesRead } = await readInto(fd, buffer, 0, buffer.length, null);
      if (bytesRead === 0) throw new ImageError('CTR_IMAGE_INVALID', `${doing}: it became shorter while it was read`);
      left -= bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    binding.close(fd);
  }
  const rest = padding(node.size);
  if (rest > 0) yield Buffer.alloc(rest);
}
