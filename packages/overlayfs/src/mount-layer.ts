// A layer in its EROFS form as a mount, and the question whether that works here.
import { open, rm } from 'node:fs/promises';
import { assertLinux, CtrError, SyscallError, UnsupportedError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkPath } from './check-options.js';
import { makeProbeImage } from './erofs-probe-image.js';
import { errorOf } from './layer-error.js';
import { mountOverlay } from './mount-overlay.js';
import { type Binding, type LayerForm, native } from './native.js';

/** The file that a layer of the form `'erofs'` is, in its directory. */
export const LAYER_FILE = 'layer.erofs';

/**
 * Mounts a layer that {@link openLayerWriter} wrote with `form: 'erofs'`, read-only and detached, and returns the mount's
 * descriptor: give it to {@link mountOverlay} or {@link describeOverlay} among the lower layers, or look into it by
 * `/proc/self/fd/<fd>`. One mount serves any number of overlays, which then share its memory. Close it and it is gone.
 *
 * @remarks CAP_SYS_ADMIN in the initial user namespace: EROFS cannot be mounted in another. Linux 6.12 on file systems that it
 * can mount files of (not tmpfs); elsewhere, from Linux 6.4, a loop device that goes with the mount.
 *
 * SECURITY: give it only files that `openLayerWriter` wrote, in a directory that nobody else can write to. A hostile image
 * reaches the kernel's parser otherwise.
 * @param directory - Absolute path, as given to `openLayerWriter`.
 * @throws {UnsupportedError} CTR_UNSUPPORTED when the kernel or the privileges do not suffice.
 * @throws {SyscallError} with the errno's name as code, such as ENOENT when there is no such layer.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the path is wrong.
 * @see https://docs.kernel.org/filesystems/erofs.html
 * @example
 * ```ts
 * using layer = await mountLayer('/var/lib/my-tool/layer')
 * using root = await mountOverlay({ lower: [layer, '/layers/base'] })
 * ```
 */
export async function mountLayer(directory: string): Promise<Fd> {
  checkPath(directory, 'directory');
  assertLinux('mounting a layer');
  try {
    return await mountFile(native(), `${directory}/${LAYER_FILE}`);
  } catch (e) {
    throw explain(errorOf(e, `mount the layer ${JSON.stringify(directory)}`));
  }
}

async function mountFile(binding: Binding, file: string): Promise<Fd> {
  const { fd } = await binding.mountErofs(file);
  return Fd.of(fd, { close: (n) => binding.close(n) });
}

function explain(error: Error): Error {
  if (!(error instanceof SyscallError)) return error;
  const needs =
    error.syscall === 'fsopen' && error.code === 'ENODEV'
      ? 'a kernel with EROFS'
      : error.code === 'EPERM'
        ? 'CAP_SYS_ADMIN in the initial user namespace'
        : error.path === '/dev/loop-control'
          ? 'Linux 6.12 on a file system whose files it can mount, or loop devices'
          : error.syscall === 'fsconfig' && error.code === 'EINVAL'
            ? 'Linux 6.4'
            : undefined;
  if (needs === undefined) return error;
  return new UnsupportedError('mounting a layer as a file', needs, undefined, { cause: error, hint: 'write layers with form: "dir"' });
}

/** What {@link chooseLayerForm} found. */
export interface LayerFormChoice {
  /** The better of the forms that work here. */
  readonly form: LayerForm;
  /** Why it is not `'erofs'`: the error's own words. `undefined` when it is. */
  readonly reason: string | undefined;
}

/**
 * Finds out, by mounting a tiny image in it and an overlay over that, in which form layers below `directory` should be written.
 * `'erofs'` where this process can mount files of that file system and the kernel takes such mounts as layers by descriptor
 * (Linux 6.15), else `'dir'`.
 *
 * @param directory - Absolute path of a directory that this user may write to; a file in it lives for a moment.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the path is wrong.
 * @throws {UnsupportedError} CTR_UNSUPPORTED on another system than Linux.
 * @example
 * ```ts
 * const { form } = await chooseLayerForm('/var/lib/my-tool')
 * await using layer = openLayerWriter('/var/lib/my-tool/layer', { form, userxattr: false })
 * ```
 */
export async function chooseLayerForm(directory: string): Promise<LayerFormChoice> {
  checkPath(directory, 'directory');
  assertLinux('mounting a layer');
  const binding = native();
  const file = `${directory}/.ctr-probe-${process.pid}-${Math.random().toString(36).slice(2)}`;
  try {
    await using image = await open(file, 'wx', 0o600);
    await image.writeFile(makeProbeImage());
    using layer = await mountFile(binding, file);
    using root = await mountOverlay({ lower: [layer], size: 65_536 });
    void root;
    return { form: 'erofs', reason: undefined };
  } catch (e) {
    const error = e instanceof CtrError ? e : explain(errorOf(e, 'try to mount a layer as a file'));
    if ('code' in error) return { form: 'dir', reason: error.message };
    throw error;
  } finally {
    await rm(file, { force: true });
  }
}
