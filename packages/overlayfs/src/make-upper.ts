// Makes the directories of a disk upper ahead of the overlay, by a launcher that has time for it.
import { named, type Step } from '@ctr/internal/steps';
import { checkPath } from './check-options.js';
import { AT_FDCWD } from './flags.js';
import { checkRoot, type RootFacts } from './overlay-options.js';
import { makeDirectories } from './overlay-parts.js';

/**
 * Describes how the directory of a disk upper is made, with what {@link describeOverlay} would make in it; that then finds it there.
 *
 * @param directory as in `describeOverlay({ upper: { directory } })`; must not exist.
 * @param root as in `describeOverlay({ root })`.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT
 * @example
 * ```ts
 * const upper = { directory: '/var/lib/app/layer' }
 * const child = await spawn({
 *   args: ['/bin/sh'],
 *   namespaces: { mount: 'new', pid: 'new' },
 *   beside: describeMakeUpper(upper.directory),
 *   root: describeOverlay({ lower: ['/layers/base'], upper }),
 *   cleanup: describeRemoveUpper(upper.directory, []),
 * })
 * ```
 */
export function describeMakeUpper(directory: string, root?: RootFacts): Step[] {
  checkPath(directory, 'directory');
  const inside = makeDirectories({ at: AT_FDCWD, prefix: `${directory}/` }, directory, checkRoot(root));
  const own: Step = { call: 'mkdirat', args: [AT_FDCWD, directory, named(0o700, '0700')] };
  return [own, ...inside].map((step) => ({ doing: 'make the writable layer', ...step }));
}
