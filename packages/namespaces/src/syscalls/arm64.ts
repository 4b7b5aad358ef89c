// The system calls of arm64 up to Linux 6.18: a number, then the names that follow it without a gap.
// Facts of the generic table (scripts/syscall.tbl) with the options that arm64 selects, such as renameat.

export const ARM64_SYSCALLS = `
    0 io_setup io_destroy io_submit io_cancel io_getevents setxattr lsetxattr fsetxattr getxattr
    9 lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr fremovexattr
   17 getcwd lookup_dcookie eventfd2 epoll_create1 epoll_ctl epoll_pwait dup dup3 fcntl
   26 inotify_init1 inotify_add_watch inotify_rm_watch ioctl ioprio_set ioprio_get flock mknodat
   34 mkdirat unlinkat symlinkat linkat renameat umount2 mount pivot_root nfsservctl statfs fstatfs
   45 truncate ftruncate fallocate faccessat chdir fchdir chroot fchmod fchmodat fchownat fchown
   56 openat close vhangup pipe2 quotactl getdents64 lseek read write readv writev pread64 pwrite64
   69 preadv pwritev sendfile pselect6 ppoll signalfd4 vmsplice splice tee readlinkat newfstatat
   80 fstat sync fsync fdatasync sync_file_range timerfd_create timerfd_settime timerfd_gettime
   88 utimensat acct capget capset personality exit exit_group waitid set_tid_address unshare futex
   99 set_robust_list get_robust_list nanosleep getitimer setitimer kexec_load init_module
  106 delete_module timer_create timer_gettime timer_getoverrun timer_settime timer_delete
  112 clock_settime clock_gettime clock_getres clock_nanosleep syslog ptrace sched_setparam
  119 sched_setscheduler sched_getscheduler sched_getparam sched_setaffinity sched_getaffinity
  124 sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval
  128 restart_syscall kill tkill tgkill sigaltstack rt_sigsuspend rt_sigaction rt_sigprocmask
  136 rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigreturn setpriority getpriority reboot
  143 setregid setgid setreuid setuid setresuid getresuid setresgid getresgid setfsuid setfsgid
  153 times setpgid getpgid getsid setsid getgroups setgroups uname sethostname setdomainname
  163 getrlimit setrlimit getrusage umask prctl getcpu gettimeofday settimeofday adjtimex getpid
  173 getppid getuid geteuid getgid getegid gettid sysinfo mq_open mq_unlink mq_timedsend
  183 mq_timedreceive mq_notify mq_getsetattr msgget msgctl msgrcv msgsnd semget semctl semtimedop
  193 semop shmget shmctl shmat shmdt socket socketpair bind listen accept connect getsockname
  205 getpeername sendto recvfrom setsockopt getsockopt shutdown sendmsg recvmsg readahead brk
  215 munmap mremap add_key request_key keyctl clone execve mmap fadvise64 swapon swapoff mprotect
  227 msync mlock munlock mlockall munlockall mincore madvise remap_file_pages mbind get_mempolicy
  237 set_mempolicy migrate_pages move_pages rt_tgsigqueueinfo perf_event_open accept4 recvmmsg
  260 wait4 prlimit64 fanotify_init fanotify_mark name_to_handle_at open_by_handle_at clock_adjtime
  267 syncfs setns sendmmsg process_vm_readv process_vm_writev kcmp finit_module sched_setattr
  275 sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier
  284 mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents
  293 rseq kexec_file_load
  424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen
  431 fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2
  440 process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset
  445 landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
  450 set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait
  456 futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
  463 setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
`;
