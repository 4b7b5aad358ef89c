// The system calls of x86-64 up to Linux 6.18: a number, then the names that follow it without a gap.
// Facts of arch/x86/entry/syscalls/syscall_64.tbl; the x32-only calls (512 to 547) are left out on purpose.

export const X86_64_SYSCALLS = `
    0 read write open close stat fstat lstat poll lseek mmap mprotect munmap brk rt_sigaction
   14 rt_sigprocmask rt_sigreturn ioctl pread64 pwrite64 readv writev access pipe select sched_yield
   25 mremap msync mincore madvise shmget shmat shmctl dup dup2 pause nanosleep getitimer alarm
   38 setitimer getpid sendfile socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind
   50 listen getsockname getpeername socketpair setsockopt getsockopt clone fork vfork execve exit
   61 wait4 kill uname semget semop semctl shmdt msgget msgsnd msgrcv msgctl fcntl flock fsync
   75 fdatasync truncate ftruncate getdents getcwd chdir fchdir rename mkdir rmdir creat link unlink
   88 symlink readlink chmod fchmod chown fchown lchown umask gettimeofday getrlimit getrusage
   99 sysinfo times ptrace getuid syslog getgid setuid setgid geteuid getegid setpgid getppid
  111 getpgrp setsid setreuid setregid getgroups setgroups setresuid getresuid setresgid getresgid
  121 getpgid setfsuid setfsgid getsid capget capset rt_sigpending rt_sigtimedwait rt_sigqueueinfo
  130 rt_sigsuspend sigaltstack utime mknod uselib personality ustat statfs fstatfs sysfs
  140 getpriority setpriority sched_setparam sched_getparam sched_setscheduler sched_getscheduler
  146 sched_get_priority_max sched_get_priority_min sched_rr_get_interval mlock munlock mlockall
  152 munlockall vhangup modify_ldt pivot_root _sysctl prctl arch_prctl adjtimex setrlimit chroot
  162 sync acct settimeofday mount umount2 swapon swapoff reboot sethostname setdomainname iopl
  173 ioperm create_module init_module delete_module get_kernel_syms query_module quotactl
  180 nfsservctl getpmsg putpmsg afs_syscall tuxcall security gettid readahead setxattr lsetxattr
  190 fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr
  198 lremovexattr fremovexattr tkill time futex sched_setaffinity sched_getaffinity set_thread_area
  206 io_setup io_destroy io_getevents io_submit io_cancel get_thread_area lookup_dcookie
  213 epoll_create epoll_ctl_old epoll_wait_old remap_file_pages getdents64 set_tid_address
  219 restart_syscall semtimedop fadvise64 timer_create timer_settime timer_gettime timer_getoverrun
  226 timer_delete clock_settime clock_gettime clock_getres clock_nanosleep exit_group epoll_wait
  233 epoll_ctl tgkill utimes vserver mbind set_mempolicy get_mempolicy mq_open mq_unlink
  242 mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid add_key request_key
  250 keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages
  257 openat mkdirat mknodat fchownat futimesat newfstatat unlinkat renameat linkat symlinkat
  267 readlinkat fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice
  276 tee sync_file_range vmsplice move_pages utimensat epoll_pwait signalfd timerfd_create eventfd
  285 fallocate timerfd_settime timerfd_gettime accept4 signalfd4 eventfd2 epoll_create1 dup3 pipe2
  294 inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init
  301 fanotify_mark prlimit64 name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg
  308 setns getcpu process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr
  316 renameat2 seccomp getrandom memfd_create kexec_file_load bpf execveat userfaultfd membarrier
  325 mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx io_pgetevents
  334 rseq uretprobe uprobe
  424 pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree move_mount fsopen
  431 fsconfig fsmount fspick pidfd_open clone3 close_range openat2 pidfd_getfd faccessat2
  440 process_madvise epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset
  445 landlock_add_rule landlock_restrict_self memfd_secret process_mrelease futex_waitv
  450 set_mempolicy_home_node cachestat fchmodat2 map_shadow_stack futex_wake futex_wait
  456 futex_requeue statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal
  463 setxattrat getxattrat listxattrat removexattrat open_tree_attr file_getattr file_setattr
`;
