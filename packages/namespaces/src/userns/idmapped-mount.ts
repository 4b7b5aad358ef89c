// A detached mount of a folder whose owners are seen through the maps of a user namespace.
import { assertLinux, InvalidArgumentError, SyscallError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { slot } from '@ctr/internal/steps';
import { runErrand } from '../namespaces/errand.js';
import { cloneTree, setAttributes } from '../steps/mount-steps.js';

/** What {@link idMappedMount} takes. */
export interface IdMappedMountOptions {
  /** With all mounts below it; default false. */
  recursive?: boolean;
  /** Default false. */
  readOnly?: boolean;
}

/**
 * Mounts a folder or file, attached to nothing, so that id 0 on disk is seen as the id to which `userns` maps its root, and so
 * on; what is written is owned on disk by the ids inside. For containers with that map: `source` of a bind, a layer of an overlay.
 *
 * @param path Absolute.
 * @param userns A user namespace, as of `createUserNamespace`; not this process's own.
 * @returns The mount; it is gone when it is closed and nothing uses it.
 * @throws SyscallError EPERM without CAP_SYS_ADMIN where the file system was mounted, EINVAL for a file system that cannot do this.
 * @remarks Linux 5.12: ext4, xfs; btrfs 5.15, erofs and overlay's layers 5.19, tmpfs 6.3.
 * @see <https://man7.org/linux/man-pages/man2/mount_setattr.2.html>
 * @example
 * ```ts
 * using userns = await createUserNamespace({ uid: [{ containerId: 0, hostId: 600000, size: 65536 }], gid: … })
 * using tree = await idMappedMount('/srv/data', userns)
 * ```
 */
export async function idMappedMount(path: string, userns: Fd, options: IdMappedMountOptions = {}): Promise<Fd> {
  const { recursive = false, readOnly = false } = options;
  if (typeof path !== 'string' || !path.startsWith('/')) throw new InvalidArgumentError('path', 'an absolute path', path);
  if (!Fd.is(userns)) throw new InvalidArgumentError('userns', 'an Fd of a user namespace', userns);
  assertLinux('idMappedMount()');
  const doing = `map the ids of ${path}`;
  const attributes = { set: readOnly ? ['MOUNT_ATTR_RDONLY'] : [], propagation: 'MS_PRIVATE' as const, userns: slot('userns') };
  const [mount] = await runErrand({
    doing,
    fds: { userns: userns.fd },
    steps: [cloneTree(path, 'mount', { recursive, doing }), { ...setAttributes('mount', attributes, { recursive, doing }), path }],
    give: ['mount'],
  });
  if (mount === undefined) throw new SyscallError({ errno: 104, syscall: 'recvmsg', doing });
  return mount;
}
