// What else a process is: the words of OCI's `process` and `linux` beside ids, capabilities and limits.
import type { Fd } from '@ctr/internal/fd';
import type { Landlock } from '../steps/landlock.js';
import type { MemoryPolicy } from '../steps/memory-policy.js';
import type { Personality } from '../steps/personality.js';
import type { IoPriority, Scheduler } from '../steps/scheduling.js';

/** Attributes that a program may be given, in a new container or beside a running one. All are inherited by its children. */
export interface ProcessAttributes {
  /** sched_setattr(2). Default: as this process. */
  scheduler?: Scheduler;
  /** -20 to 19, setpriority(2); lowering it needs CAP_SYS_NICE. Not together with `scheduler`, which has its own. */
  nice?: number;
  /** ioprio_set(2). */
  ioPriority?: IoPriority;
  /** The processors it may run on, such as '0-3,6': sched_setaffinity(2). Set once it is in its cgroup. */
  cpuAffinity?: string;
  /** set_mempolicy(2). */
  memoryPolicy?: MemoryPolicy;
  /** personality(2). */
  personality?: Personality;
  /**
   * 'new' (default): an empty session keyring, so that it does not have this process's keys. Where the kernel gives none, since
   * this user has as many as it may (kernel.keys.maxkeys) or an outer container hides the call, it is inherited. 'inherit':
   * this process's own. See keyrings(7).
   */
  keyring?: 'new' | 'inherit';
  /** landlock(7), Linux 5.13; needs `noNewPrivileges` or CAP_SYS_ADMIN. */
  landlock?: Landlock;
  /** The AppArmor profile to run under, read back after the start. UnsupportedError where AppArmor is not active. */
  apparmorProfile?: string;
  /** The SELinux label to run under, read back after the start. UnsupportedError where SELinux is not active. */
  selinuxLabel?: string;
  /** Further descriptors by the number that the program has them under, 3 to 65535; borrowed until the start. At most 32. */
  fds?: Readonly<Record<number, Fd>>;
  /**
   * The signal that it gets when its launcher dies (PR_SET_PDEATHSIG); default SIGKILL. Whatever it does about it, the
   * launcher kills it when this Node process ends in another way.
   */
  parentDeathSignal?: string | number;
  /**
   * Tell systemd through this program: NOTIFY_SOCKET of this process's environment is passed on, and in a new root mounted on
   * /run/notify.sock. The unit needs NotifyAccess=all. Does nothing where this process has none. See sd_notify(3).
   */
  notifySocket?: boolean;
}
