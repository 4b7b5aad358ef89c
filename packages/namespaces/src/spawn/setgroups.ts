// Whether the groups of a program can be said: user_namespaces(7), setgroups(2).
import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { Setgroups } from '../steps/identity.js';
import type { User } from './options.js';

let denied: boolean | undefined;

/** In this process's own user namespace, which is never changed: as in `unshare -r`. */
function deniedHere(): boolean {
  try {
    denied ??= readFileSync('/proc/self/setgroups', 'utf8').startsWith('deny');
  } catch {
    // Before Linux 3.19, or without procfs: the step itself will tell.
    denied = false;
  }
  return denied;
}

/** Whether this process can say the groups of its children where they stay in its user namespace. */
export const maySetGroups = (): boolean => process.geteuid?.() === 0 && !deniedHere();

/** @throws InvalidArgumentError for groups that would be left out, with those of the caller in their place. */
export function checkGroups(user: User | undefined, setgroups: Setgroups): void {
  if (setgroups === false && user?.groups?.length)
    throw new InvalidArgumentError('user.groups', 'none, since setgroups(2) is denied here: give ranges of ids, or be root', user.groups);
}
