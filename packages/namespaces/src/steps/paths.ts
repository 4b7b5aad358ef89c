// Targets of mounts inside the new root: made when they are missing. All of this runs after pivot_root, when
// no path, symbolic link or ".." can lead anywhere but into the container (CVE-2021-30465, CVE-2024-45310).
import { type Step, slot } from '@ctr/internal/steps';
import { MOVE_TO_SLOT } from './flags.js';
import { attach } from './mount-steps.js';

const TARGET = 'target';

/** mkdir -p of a path in the new root, through symbolic links also where they lead to nothing yet. Composite. */
export const makeDirectories = (path: string, doing: string): Step[] => [
  { call: 'make_target', args: [-1, path], into: TARGET, doing, path },
];

/**
 * Attaches a mount; where that cannot be as the target is, since it is missing or a link, its end is found and made first: a
 * folder, or an empty file when the mount is one.
 */
export function attachMaking(mount: string, target: string, doing: string): Step[] {
  if (target === '/') return [attach(mount, target, { doing })];
  return [
    // EINVAL and ENOTDIR: the mount is a folder, the target a link (do_move_mount in fs/namespace.c), or what it leads through.
    attach(mount, target, { doing, allow: ['ENOENT', 'EINVAL', 'ENOTDIR'], skipOnSuccess: 2 }),
    { call: 'make_target', args: [slot(mount), target], into: TARGET, doing, path: target },
    { call: 'move_mount', args: [slot(mount), '', slot(TARGET), '', MOVE_TO_SLOT], doing, path: target },
  ];
}
