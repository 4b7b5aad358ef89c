// The system calls of x32, the 32-bit pointers of x86-64: those of x86-64 with bit 30 set, but for these.
// Facts of arch/x86/entry/syscalls/syscall_64.tbl, Linux 6.18.

/** With numbers of their own, since pointers lie in memory there. */
export const X32_OWN_SYSCALLS = `
  512 rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace
  522 rt_sigpending rt_sigtimedwait rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load
  529 waitid set_robust_list get_robust_list vmsplice move_pages preadv pwritev rt_tgsigqueueinfo
  537 recvmmsg sendmmsg process_vm_readv process_vm_writev setsockopt getsockopt io_setup io_submit
  545 execveat preadv2 pwritev2
`;

/** Of x86-64 alone. */
export const NOT_IN_X32: readonly string[] = `
  _sysctl create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area nfsservctl query_module
  set_thread_area uselib vserver
`
  .trim()
  .split(/\s+/);
