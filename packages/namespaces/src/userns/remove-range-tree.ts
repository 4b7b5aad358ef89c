// A tree that containers with ranges wrote in: most of it belongs to ids that are this user's only inside of a user namespace.
import { assertLinux, InvalidArgumentError } from '@ctr/internal/errors';
import { runErrand } from '../namespaces/errand.js';
import { joinUser, rangeNamespace } from './user-namespace.js';

/**
 * Removes a folder and all in it as the root of the user namespace that has all ids of this ordinary user: its own, and its ranges in
 * /etc/subuid and /etc/subgid; root does so as itself. For what programs with `rangeIdMaps()` and the like left, which this user may
 * not remove. A folder that is not there is fine. Links are not followed, mounts are not crossed.
 *
 * @param directory Absolute.
 * @throws InvalidArgumentError; UnsupportedError CTR_UNSUPPORTED where this user has no ranges; SyscallError with what failed.
 * @see <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>
 * @example
 * ```ts
 * await removeRangeTree('/home/ann/layers/old')
 * ```
 */
export async function removeRangeTree(directory: string): Promise<void> {
  if (typeof directory !== 'string' || !directory.startsWith('/') || directory.includes('\0'))
    throw new InvalidArgumentError('directory', 'an absolute path', directory);
  assertLinux('removeRangeTree()');
  const around = process.geteuid?.() === 0 ? undefined : (await rangeNamespace()).namespace;
  const doing = `remove ${directory}`;
  await runErrand({
    doing,
    ...(around ? { fds: { around: around.fd }, enter: [joinUser('around')] } : {}),
    steps: [{ call: 'remove_tree', args: [directory], doing, allow: ['ENOENT'] }],
    give: [],
  });
}
