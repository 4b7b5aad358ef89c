// A session keyring of the program's own, so that it does not have the keys of the user who started it (keyrings(7)).
import { named, type Step } from '@ctr/internal/steps';

/**
 * keyctl(2), KEYCTL_JOIN_SESSION_KEYRING without a name: new and empty. No failure are a kernel without keys (ENOSYS), an outer
 * container that hides the call (EPERM, EACCES), and a user who has as many keyrings as it may (EDQUOT, 200 for an
 * ordinary one): a program that runs is worth more then than one that is refused.
 */
export const joinKeyring = (): Step => ({
  call: 'keyctl',
  args: [named(1, 'KEYCTL_JOIN_SESSION_KEYRING'), null],
  allow: ['ENOSYS', 'EPERM', 'EACCES', 'EDQUOT'],
  doing: 'make a session keyring',
});
