// Targets of mounts inside the new root: made when they are missing. All of this runs after pivot_root, when
// no path, symbolic link or ".." can lead anywhere but into the container (CVE-2021-30465, CVE-2024-45310).
import { InvalidArgumentError } from '@ctr/internal/errors';
import { named, type Step } from '@ctr/internal/steps';
import { AT_FDCWD, atFlags } from './flags.js';
import { attach } from './mount-steps.js';

const S_IFREG = 0o100000;
const MAX_DEPTH = 100;

/** '/a/b/c' -> ['/a', '/a/b', '/a/b/c'] */
function prefixes(path: string): string[] {
  const parts = path.split('/').filter((p) => p !== '' && p !== '.');
  if (parts.length > MAX_DEPTH) throw new InvalidArgumentError('target', `a path of at most ${MAX_DEPTH} parts`, path);
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join('/')}`);
}

const mkdir = (path: string, doing: string): Step => ({
  call: 'mkdirat',
  args: [AT_FDCWD, path, named(0o755, '0755')],
  allow: ['EEXIST'],
  doing,
});

/** mkdir -p of a path in the new root. */
export const makeDirectories = (path: string, doing: string): Step[] => prefixes(path).map((p) => mkdir(p, doing));

/**
 * Attaches a mount, and makes its target first where it is missing: as a directory, or as an empty file when the
 * mount turns out to be one.
 */
export function attachMaking(mount: string, target: string, doing: string): Step[] {
  const all = prefixes(target);
  const last = all.pop();
  if (last === undefined) return [attach(mount, target, { doing })];
  const make: Step[] = [
    ...all.map((p) => mkdir(p, doing)),
    mkdir(last, doing),
    // EINVAL: the mount is a file, the new target a folder (do_move_mount in fs/namespace.c).
    attach(mount, target, { doing, allow: ['EINVAL'], skipOnSuccess: 3 }),
    { call: 'unlinkat', args: [AT_FDCWD, last, atFlags('AT_REMOVEDIR')], doing },
    { call: 'mknodat', args: [AT_FDCWD, last, named(S_IFREG | 0o644, 'S_IFREG|0644'), 0], doing },
    attach(mount, target, { doing }),
  ];
  return [attach(mount, target, { doing, allow: ['ENOENT'], skipOnSuccess: make.length }), ...make];
}
