// What the default filter does with each system call of Linux 6.18. Every name of our tables stands in exactly one list here
// (a test checks it), so that a new call is a decision and not an accident. After Docker's and podman's profiles, less what
// has had container escapes: io_uring, userfaultfd, keyrings, bpf, sockets of rare families.
import type { CapabilityName } from '../capabilities.js';

const words = (text: string): readonly string[] => text.trim().split(/\s+/);

/** Always allowed: the kernel itself checks permissions, and namespaces and control groups bound the effect. */
export const ALLOWED = words(`
  read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek sendfile copy_file_range splice tee vmsplice
  readahead fadvise64 fallocate truncate ftruncate fsync fdatasync sync syncfs sync_file_range
  io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents

  open openat openat2 creat close close_range dup dup2 dup3 fcntl flock pipe pipe2 memfd_create memfd_secret
  name_to_handle_at getdents getdents64 getcwd chdir fchdir umask
  stat lstat fstat newfstatat statx statfs fstatfs statmount listmount access faccessat faccessat2 readlink readlinkat
  mkdir mkdirat mknod mknodat rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat
  chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat file_getattr file_setattr
  getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr listxattrat
  removexattr lremovexattr fremovexattr removexattrat cachestat
  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark

  brk mmap munmap mremap mprotect pkey_mprotect pkey_alloc pkey_free madvise mincore msync mlock mlock2 munlock mlockall munlockall
  remap_file_pages mseal map_shadow_stack membarrier process_mrelease

  fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill pidfd_open pidfd_send_signal
  rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo rt_sigsuspend rt_sigreturn
  sigaltstack signalfd signalfd4 pause alarm restart_syscall
  getpid getppid gettid getpgid getpgrp setpgid getsid setsid set_tid_address set_robust_list get_robust_list rseq
  futex futex_waitv futex_wait futex_wake futex_requeue prctl seccomp set_thread_area get_thread_area
  landlock_create_ruleset landlock_add_rule landlock_restrict_self

  getuid geteuid getgid getegid getgroups getresuid getresgid setuid setgid setreuid setregid setresuid setresgid setfsuid
  setfsgid setgroups capget capset

  getrlimit setrlimit prlimit64 getrusage times getpriority setpriority ioprio_get ioprio_set getcpu sysinfo uname
  sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam sched_getscheduler
  sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval

  time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep getitimer setitimer adjtimex clock_adjtime
  timer_create timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime

  poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
  bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt
  sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
  semget semop semtimedop semctl shmget shmat shmdt shmctl msgget msgsnd msgrcv msgctl
  mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
  getrandom

  ptrace process_vm_readv process_vm_writev
  arch_prctl modify_ldt uretprobe uprobe
`);
// ptrace and process_vm_*: seccomp sees the calls of a tracer's victim again since Linux 4.8, and every container has its own
// pid namespace. uretprobe, uprobe: made by the kernel's own trampolines when an administrator probes the program; refused, it crashes.

/** Allowed when the process may hold the capability, refused with EPERM otherwise. */
export const OPENED_BY: Readonly<Partial<Record<CapabilityName, readonly string[]>>> = {
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_SYS_ADMIN: words(`
    mount umount2 pivot_root mount_setattr open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick
    setns unshare sethostname setdomainname quotactl quotactl_fd fanotify_init bpf perf_event_open syslog
    lookup_dcookie lsm_get_self_attr lsm_set_self_attr lsm_list_modules
  `),
  CAP_SYS_BOOT: ['reboot'],
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: ['init_module', 'finit_module', 'delete_module'],
  CAP_SYS_NICE: ['get_mempolicy', 'mbind', 'set_mempolicy', 'set_mempolicy_home_node'],
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: ['kcmp', 'pidfd_getfd', 'process_madvise'],
  CAP_SYS_RAWIO: ['iopl', 'ioperm'],
  CAP_SYS_TIME: ['settimeofday', 'clock_settime'],
  CAP_SYS_TTY_CONFIG: ['vhangup'],
  CAP_SYSLOG: ['syslog'],
  CAP_BPF: ['bpf'],
  CAP_PERFMON: ['perf_event_open'],
};

/** Refused with EPERM whatever the capabilities. */
export const DENIED = words(`
  io_uring_setup io_uring_enter io_uring_register userfaultfd add_key request_key keyctl
  kexec_load kexec_file_load swapon swapoff move_pages migrate_pages uselib ustat sysfs
`);

/** No longer, or never, part of the kernel: the answer is the kernel's own, ENOSYS. */
export const GONE = words(`
  _sysctl create_module get_kernel_syms query_module nfsservctl getpmsg putpmsg afs_syscall tuxcall security vserver
  epoll_ctl_old epoll_wait_old
`);

/** Decided by their arguments in default-profile.ts. */
export const BY_ARGUMENT = words('clone clone3 personality socket socketpair ioctl');
