// What to do about a failed system call, by (syscall, errno, situation): one sentence each. An errno means something
// else for each call: ENOSPC of mkdir in cgroupfs is no full disk.
import { SyscallError } from '@ctr/internal/errors';
import { defaultHints, type FailureFacts, type HintSource } from '@ctr/namespaces';
import { addHint } from './add-hint.js';

/** What the step alone does not tell. */
export interface Situation {
  /** The image or folder, for the sentence. */
  readonly root: string;
  /** In a user namespace of its own. */
  readonly rootless: boolean;
}

export interface HintRow {
  readonly syscall: string;
  readonly code: string;
  readonly when?: (facts: FailureFacts, situation: Situation) => boolean;
  readonly hint: string | ((facts: FailureFacts, situation: Situation) => string);
}

const about = (f: FailureFacts, word: string): boolean => (f.step?.doing ?? '').includes(word) || (f.path ?? '').includes(word);
const overlay = (f: FailureFacts): boolean => about(f, 'overlay') || about(f, 'root') || about(f, 'layer');
const cgroup = (f: FailureFacts): boolean => about(f, 'cgroup');

const NO_USER_NAMESPACES =
  'this host does not let users make user namespaces: checkHost() says which setting forbids it (user.max_user_namespaces, kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns)';

/** The first row that fits is taken; what has none here is left to @ctr/namespaces. */
export const HINTS: readonly HintRow[] = [
  {
    syscall: 'execve',
    code: 'EACCES',
    hint: (f, s) => `${f.path} of ${s.root} is not executable for this user, or lies on a mount with noexec`,
  },
  {
    syscall: 'execve',
    code: 'ENOEXEC',
    hint: (f, s) => `${f.path} of ${s.root} is for another processor, or a script without a first line such as #!/bin/sh`,
  },
  { syscall: 'execve', code: 'E2BIG', hint: 'arguments and environment together are longer than the kernel takes, 2 MiB by default' },
  { syscall: 'execve', code: 'ENOMEM', hint: 'resources.memory is too small to load the program' },
  { syscall: 'clone3', code: 'EPERM', when: (_, s) => s.rootless, hint: NO_USER_NAMESPACES },
  {
    syscall: 'clone3',
    code: 'ENOSPC',
    when: (_, s) => s.rootless,
    hint: 'the limit of user namespaces is reached, or they are nested 32 deep: look at the sysctl user.max_user_namespaces',
  },
  { syscall: 'mount_setattr', code: 'EPERM', when: (_, s) => s.rootless, hint: NO_USER_NAMESPACES },
  { syscall: 'clone3', code: 'EAGAIN', hint: 'the limit of processes is reached: ulimit -u of this user, or pids.max of this cgroup' },
  {
    syscall: 'write',
    code: 'EPERM',
    when: (f) => f.stage === 'maps',
    hint: 'an ordinary user can map only its own id; leave "userns" out',
  },
  { syscall: 'fsopen', code: 'ENODEV', when: overlay, hint: 'the kernel has no overlayfs: modprobe overlay' },
  { syscall: 'fsopen', code: 'EPERM', when: overlay, hint: 'overlayfs in a user namespace needs Linux 5.11 or newer' },
  {
    syscall: 'fsconfig',
    code: 'EINVAL',
    when: (f, s) => overlay(f) && s.rootless,
    hint: 'the file system of the writable layer cannot hold user.* attributes: writable "memory" needs Linux 6.6, "disk" needs ext4, xfs or btrfs; or something is mounted inside the root folder, which a user namespace may not uncover',
  },
  {
    syscall: 'fsconfig',
    code: 'EINVAL',
    when: overlay,
    hint: 'the writable layer lies on overlayfs itself or on a network file system: use writable: "memory", or name another disk in CTR_ROOT',
  },
  {
    syscall: 'fsconfig',
    code: 'ELOOP',
    when: overlay,
    hint: 'the writable layer lies inside the root that it is laid over: use writable: "memory"',
  },
  {
    syscall: 'fsconfig',
    code: 'ENOENT',
    when: overlay,
    hint: (_, s) => `a layer of ${s.root} is gone from the store; the next start unpacks it again`,
  },
  {
    syscall: 'fsconfig',
    code: 'EPERM',
    when: (f) => about(f, 'proc') || about(f, 'sysfs'),
    hint: 'the kernel shows a new /proc or /sys only where the outer one is not masked: inside another container start that one with unmasked paths (docker run --security-opt systempaths=unconfined)',
  },
  {
    syscall: 'fsmount',
    code: 'EPERM',
    when: (f) => about(f, 'proc') || about(f, 'sysfs'),
    hint: 'the kernel shows a new /proc or /sys only where the outer one is not masked: inside another container start that one with unmasked paths (docker run --security-opt systempaths=unconfined)',
  },
  { syscall: 'open_tree', code: 'ENOENT', hint: (f) => `${f.path} does not exist on the host` },
  { syscall: 'open_tree', code: 'EACCES', hint: (f) => `this user may not look at ${f.path}` },
  {
    syscall: 'move_mount',
    code: 'ENOTDIR',
    hint: (f) => `${f.path} inside is of the other kind: a folder is mounted on a folder, a file on a file`,
  },
  {
    syscall: 'mkdirat',
    code: 'ENOSPC',
    when: cgroup,
    hint: 'the limit of cgroups is reached: look at cgroup.max.descendants of the cgroups above',
  },
  { syscall: 'mkdirat', code: 'EROFS', hint: 'the root is read-only and lacks the target of a mount' },
  { syscall: 'mkdirat', code: 'ENOSPC', hint: 'the disk is full' },
  { syscall: 'mkdirat', code: 'EDQUOT', hint: 'the disk quota of this user is used up' },
  { syscall: 'setresuid', code: 'EINVAL', hint: 'the user id is not mapped in the user namespace' },
  { syscall: 'setresgid', code: 'EINVAL', hint: 'the group id is not mapped in the user namespace' },
  { syscall: 'fchdir', code: 'EACCES', hint: (f) => `the user may not enter ${f.path}: give another "cwd"` },
]; // prettier-ignore

/** What to do when the image store itself fails. */
const STORE_HINTS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk of the image store is full: make room there, or name another place in CTR_ROOT',
  EDQUOT: 'the disk quota of this user is used up: make room, or name another place in CTR_ROOT',
  EROFS: 'the image store lies on a read-only file system: name another place in CTR_ROOT',
  EACCES: 'this user may not write to the image store: name another place in CTR_ROOT',
  EMFILE: 'this process has too many files open: raise its limit (ulimit -n)',
};

/** Adds a hint to an error of the image store that has none. Returns the error to throw. */
export function withStoreHint(error: unknown): unknown {
  const hint = error instanceof SyscallError && error.hint === undefined ? STORE_HINTS[error.code] : undefined;
  return hint === undefined ? error : addHint(error as SyscallError, hint);
}

/** A source of hints for the launcher, with ours first. */
export function hintSource(situation: Situation): HintSource {
  return (facts) => {
    const row = HINTS.find((r) => r.syscall === facts.syscall && r.code === facts.code && (r.when?.(facts, situation) ?? true));
    if (row === undefined) return defaultHints(facts);
    return typeof row.hint === 'string' ? row.hint : row.hint(facts, situation);
  };
}
