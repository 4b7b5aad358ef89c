// Reading one file out of a stack of layers, and removing a tree: both by descriptor, both safe on hostile content.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { checkCount, checkObject, checkPath } from './check-options.js';
import { errorOf } from './layer-error.js';
import { native } from './native.js';

/** Options of {@link readFileInRoot}. */
export interface ReadFileOptions {
  /** A larger file is an error, and is not read. No default: the caller knows what is reasonable. */
  maxBytes: number;
}

/**
 * Reads a regular file as the mounted overlay would show it, without mounting: the top layer that has it wins, whiteouts and
 * opaque directories hide, symbolic links are resolved inside the stack. `null` when it does not exist.
 *
 * @remarks Never blocks on a FIFO and opens no device. Needs read permission on the layers.
 * @param layersTopFirst - Directories, as in {@link OverlayOptions.lower}; the first may be an upper directory.
 * @param path - Path inside; it is relative to the root with or without a leading slash.
 * @throws {ImageError} CTR_IMAGE_INVALID when it is no regular file, CTR_IMAGE_LIMIT when it is larger than `maxBytes`.
 * @throws {SyscallError} with the errno's name as code, such as EACCES.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when an argument is wrong.
 * @example
 * ```ts
 * const passwd = await readFileInRoot(['/layers/app', '/layers/base'], 'etc/passwd', { maxBytes: 2 ** 20 })
 * ```
 */
export async function readFileInRoot(layersTopFirst: readonly string[], path: string, options: ReadFileOptions): Promise<Buffer | null> {
  if (!Array.isArray(layersTopFirst) || layersTopFirst.length === 0)
    throw new InvalidArgumentError('layersTopFirst', 'an array of at least one path', layersTopFirst);
  layersTopFirst.forEach((layer, i) => {
    checkPath(layer, `layersTopFirst[${i}]`);
  });
  if (typeof path !== 'string' || path === '' || path.includes('\0')) throw new InvalidArgumentError('path', 'a path without NUL', path);
  checkObject(options, 'options', ['maxBytes']);
  checkCount(options.maxBytes, 'maxBytes', 'bytes');
  assertLinux('reading a file of a layer');
  try {
    return await native().readInLayers(layersTopFirst, path, options.maxBytes);
  } catch (e) {
    throw errorOf(e, `read ${JSON.stringify(path)} of the root`);
  }
}

/**
 * Removes a directory and everything in it. Follows no link, crosses no mount, and enters directories whose owner took
 * away his own permissions. Resolves also when it does not exist.
 *
 * @remarks openat2 (Linux 5.6). A tree of any depth; two descriptors.
 * @param directory - Absolute path.
 * @throws {SyscallError} EXDEV or EBUSY when something is mounted inside, ENOTDIR when it is no directory, EPERM, EACCES …
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the path is wrong, or is "/".
 * @example
 * ```ts
 * await removeTree('/var/lib/my-tool/layer')
 * ```
 */
export async function removeTree(directory: string): Promise<void> {
  checkPath(directory, 'directory');
  if (/^[/.]*$/.test(directory) || /\/\.{1,2}\/*$/.test(directory))
    throw new InvalidArgumentError('directory', 'a path that ends in a name', directory);
  assertLinux('removing a tree');
  try {
    await native().removeTree(directory);
  } catch (e) {
    throw errorOf(e, `remove ${JSON.stringify(directory)}`);
  }
}
