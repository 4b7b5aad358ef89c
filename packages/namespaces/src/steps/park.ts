// A process that waits inside of its namespaces until it is told its program: native/init/park.h.
import { named, type Step, slot } from '@ctr/internal/steps';

/** The process's own socket, over which the program comes. */
export const PARK_SLOT = 'park';

/** The calls that a parked process makes: what its filter must let through, whatever the arguments. */
export const PARKED_CALLS = ['recvmsg', 'write', 'dup3', 'openat2', 'fchdir', 'close', 'execve', 'exit_group'] as const;

/** What ps shows of it; a name is at most 15 bytes long (prctl(2)). */
const NAME = 'ctr-parked';

/** Before the filter, which may forbid it. A change of ids leaves what /proc/sys/fs/suid_dumpable says, which is this unless an administrator debugs. */
export const beforeParking = (): Step[] => [
  { call: 'prctl', args: [named(15, 'PR_SET_NAME'), NAME, 0, 0, 0], doing: 'name the parked process' },
  { call: 'prctl', args: [named(4, 'PR_SET_DUMPABLE'), 0, 0, 0, 0], doing: 'keep the parked process to itself' },
];

/** Composite: the last step of the setup stage; those that it is sent follow. */
export const park = (): Step => ({ call: 'await_program', args: [slot(PARK_SLOT)], doing: 'wait for a program' });
