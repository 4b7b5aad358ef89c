// A folder of the host as a layer: read and packed on the pool, so that the event loop only passes pieces on.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { checkObject, checkPath } from './check-options.js';
import { native } from './native.js';
import { packedPieces } from './packed-pieces.js';

/** Options of {@link packDirectory}. */
export interface PackDirectoryOptions {
  /** Owner of everything; `undefined` keeps the owners. */
  owner?: { readonly uid: number; readonly gid: number } | undefined;
  /** Time of everything, seconds since 1970; `undefined` keeps the times, in whole seconds. */
  mtime?: number | undefined;
  /** Ends the reading with an AbortError. */
  signal?: AbortSignal | undefined;
}

const MAX_ID = 2 ** 32 - 2;
const MAX_TIME = 2 ** 40;

/**
 * A folder as an uncompressed tar stream: names in the order of their bytes, parents before what they hold, hard links, devices and
 * FIFOs as such, owners, modes, times, `security.capability` and `user.*` attributes. The same folder gives the same bytes. Sockets are
 * left out. 28,000 small files take a third of a second.
 *
 * @remarks Follows no link below the folder, and does cross mounts. Fits the option `pack` of `ImageStore.import` of `@ctr/image`.
 * Extended attributes that this user may not read are left out, as are all others than those named, such as ACLs and labels.
 * @param directory - Absolute path.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an argument is wrong.
 * @throws {SyscallError} with the errno's name as code and the path within the folder, such as EACCES.
 * @throws {ImageError} CTR_IMAGE_INVALID when a file becomes shorter while it is read.
 * @throws {AbortError} ABORT_ERR when the signal fires.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @see https://github.com/opencontainers/image-spec/blob/main/layer.md
 * @example
 * ```ts
 * await pipeline(packDirectory('/srv/rootfs', { owner: { uid: 0, gid: 0 }, mtime: 0 }), createGzip(), createWriteStream('layer.tar.gz'))
 * ```
 */
export async function* packDirectory(directory: string, options: PackDirectoryOptions = {}): AsyncGenerator<Buffer> {
  checkPath(directory, 'directory');
  checkObject(options, 'options', ['owner', 'mtime', 'signal']);
  const { owner, mtime, signal } = options as PackDirectoryOptions;
  if (owner !== undefined) {
    checkObject(owner, 'options.owner', ['uid', 'gid']);
    for (const key of ['uid', 'gid'] as const) checkNumber(owner[key], `options.owner.${key}`, MAX_ID);
  }
  if (mtime !== undefined) checkNumber(mtime, 'options.mtime', MAX_TIME);
  assertLinux('packing a folder');
  const handle = new (native().PackHandle)(directory, owner?.uid ?? null, owner?.gid ?? null, mtime ?? null);
  yield* packedPieces(handle, `pack the folder ${JSON.stringify(directory)}`, signal);
}

function checkNumber(value: unknown, path: string, most: number): void {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > most)
    throw new InvalidArgumentError(path, `a whole number from 0 to ${most}`, value);
}
