// What to do about a failed step, by (syscall, errno, situation).
import type { FailureFacts, HintSource } from '../launcher/start-error.js';

interface Row {
  syscall: string;
  code: string;
  when?: (f: FailureFacts) => boolean;
  hint: string | ((f: FailureFacts) => string);
}

const asUser = (): boolean => process.geteuid?.() !== 0;
const newUser = (f: FailureFacts): boolean => f.plan.cloneFlags.includes('CLONE_NEWUSER');

const FILTER_RIGHTS = 'a filter needs noNewPrivileges: true, or CAP_SYS_ADMIN in a user namespace of its own';

const ROWS: readonly Row[] = [
  {
    syscall: 'execve',
    code: 'ENOENT',
    hint: (f) =>
      `there is no ${f.path} inside, or the interpreter or loader that it names is missing; paths and PATH are those of the new root`,
  },
  {
    syscall: 'setgroups',
    code: 'EPERM',
    hint: 'the user namespace denies setgroups(2), so that nobody leaves a group there: give no groups (user_namespaces(7))',
  },
  { syscall: 'execve', code: 'EACCES', hint: 'the file is not executable for this user, or its mount is noexec' },
  { syscall: 'execve', code: 'ENOEXEC', hint: 'the file is for another processor, or a script without a first line such as #!/bin/sh' },
  ...['clone3', 'unshare'].map((syscall) => ({
    syscall,
    code: 'EPERM',
    when: (f: FailureFacts) => asUser() && !newUser(f),
    hint: "without root, new namespaces need a user namespace too: namespaces.user: 'new'",
  })),
  {
    syscall: 'clone3',
    code: 'EPERM',
    when: newUser,
    hint: 'this host forbids user namespaces: look at the sysctls user.max_user_namespaces, kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns',
  },
  ...['clone3', 'unshare'].map((syscall) => ({
    syscall,
    code: 'ENOSPC',
    hint: 'the limit of namespaces is reached: look at /proc/sys/user/max_*_namespaces',
  })),
  {
    syscall: 'clone3',
    code: 'ENOSYS',
    hint: 'a seccomp filter around this process hides clone3; start the outer container with a newer profile',
  },
  { syscall: 'clone3', code: 'EAGAIN', hint: 'the limit of processes is reached: ulimit -u, or pids.max of this cgroup' },
  {
    syscall: 'execve',
    code: 'EINTR',
    hint: 'the kernel kills what starts with too small a memory limit; otherwise somebody sent it SIGKILL',
  },
  {
    syscall: 'open_tree',
    code: 'EPERM',
    when: (f) => f.stage === 'prepare',
    hint: 'without root a folder is mounted by its path, not by a descriptor',
  },
  {
    syscall: 'mount_setattr',
    code: 'EPERM',
    when: newUser,
    hint: 'a user namespace can neither take flags off the host’s mounts nor change how they keep access times',
  },
  {
    syscall: 'mount_setattr',
    code: 'EINVAL',
    when: (f) => (f.step?.doing ?? '').startsWith('map the ids'),
    hint: 'this file system cannot be mounted with mapped ids on this kernel, or something mounted in it cannot: give recursive: false',
  },
  { syscall: 'mount_setattr', code: 'ENOSYS', hint: 'mount_setattr needs Linux 5.12' },
  { syscall: 'prlimit64', code: 'EPERM', hint: 'raising a hard limit needs CAP_SYS_RESOURCE; ask for no more than the present hard limit' },
  {
    syscall: 'write',
    code: 'EACCES',
    when: (f) => f.path === '/proc/self/oom_score_adj',
    hint: 'lowering oom_score_adj needs CAP_SYS_RESOURCE',
  },
  {
    syscall: 'write',
    code: 'ENOENT',
    when: (f) => f.path?.endsWith('/attr/apparmor/exec') === true,
    hint: 'no such profile is loaded: aa-status lists them, apparmor_parser -r loads one',
  },
  {
    syscall: 'write',
    code: 'EINVAL',
    when: (f) => f.path?.endsWith('/attr/exec') === true,
    hint: 'the loaded SELinux policy has no such context',
  },
  { syscall: 'seccomp', code: 'EACCES', hint: FILTER_RIGHTS },
  { syscall: 'listen_seccomp', code: 'EACCES', hint: FILTER_RIGHTS },
  {
    syscall: 'openat2',
    code: 'ENOENT',
    when: (f) => f.path === '/dev/ptmx',
    hint: "a terminal needs a devpts of its own in a new root: mounts of type 'dev' on /dev and 'devpts' on /dev/pts",
  },
  {
    syscall: 'ioctl',
    code: 'ENOTTY',
    when: (f) => f.step?.doing === 'make the terminal',
    hint: 'somebody inside has put something else in the place of /dev/ptmx',
  },
  {
    syscall: 'sched_setattr',
    code: 'EPERM',
    hint: 'real-time policies and raised priorities need CAP_SYS_NICE in the host’s user namespace, or RLIMIT_RTPRIO and RLIMIT_NICE; SCHED_DEADLINE needs all processors of the root domain in the affinity',
  },
  { syscall: 'sched_setattr', code: 'EBUSY', hint: 'the processors have not that much time left for SCHED_DEADLINE' },
  {
    syscall: 'setpriority',
    code: 'EACCES',
    hint: 'lowering the nice value needs CAP_SYS_NICE in the host’s user namespace, or RLIMIT_NICE',
  },
  { syscall: 'ioprio_set', code: 'EPERM', hint: 'the real-time class needs CAP_SYS_NICE or CAP_SYS_ADMIN in the host’s user namespace' },
  { syscall: 'sched_setaffinity', code: 'EINVAL', hint: 'none of these processors is there, or the cpuset of its cgroup has none of them' },
  { syscall: 'set_mempolicy', code: 'EINVAL', hint: 'the mode does not go with these nodes, or none of them is there or in the cpuset' },
  { syscall: 'set_mempolicy', code: 'ENOSYS', hint: 'this kernel is built without NUMA' },
  {
    syscall: 'landlock_restrict_self',
    code: 'EPERM',
    hint: 'give noNewPrivileges: true, without which Landlock needs CAP_SYS_ADMIN',
  },
  {
    syscall: 'openat',
    code: 'ENOENT',
    when: (f) => f.path?.startsWith('/proc/sys/') === true,
    hint: 'this kernel has no such parameter, or not in this namespace',
  },
  {
    syscall: 'openat',
    code: 'EACCES',
    when: (f) => f.path?.startsWith('/proc/sys/') === true,
    hint: 'a user namespace may set this from a newer kernel on, or only the host’s root may',
  },
  {
    syscall: 'dup3',
    code: 'EBADF',
    when: (f) => f.step?.doing === 'give the program its descriptors',
    hint: 'the number lies above the limit of open files: rlimits.nofile',
  },
  {
    syscall: 'move_report',
    code: 'EINVAL',
    when: (f) => f.step?.doing === 'give the program its descriptors',
    hint: 'the numbers lie above the limit of open files: rlimits.nofile',
  },
  {
    syscall: 'make_target',
    code: 'EXDEV',
    hint: 'a symbolic link of the image leads here into /proc or /sys, or one of them elsewhere: make it an ordinary folder',
  },
  { syscall: 'setns', code: 'ESRCH', hint: 'the process has ended' },
  { syscall: 'openat2', code: 'ELOOP', hint: 'the path leads through a magic link of /proc, which is not followed' },
];

export const defaultHints: HintSource = (f) => {
  const row = ROWS.find((r) => r.syscall === f.syscall && r.code === f.code && (r.when?.(f) ?? true));
  return typeof row?.hint === 'function' ? row.hint(f) : row?.hint;
};
