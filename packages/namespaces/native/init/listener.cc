// Loads a seccomp filter that asks a listener (SECCOMP_RET_USER_NOTIF), and hands the listener's descriptor over.
//
//   child                                   helper: a thread that the filter does not bind
//     │ clone3(THREAD|FILES) ───────────────────>│
//     │ seccomp(NEW_LISTENER) ─> descriptor      │ looks every 50 µs
//     │ waits without any call                   │ sendmsg(SCM_RIGHTS) ──> Node
//     │<────── the kernel clears `helper` ───────│ exit
//     │ execve
//
// Once the filter is there each call of the child may be refused, or wait for a listener that nobody has yet; so from
// there to execve it makes none. A thread and not a process: it needs no rights over the child, nobody has to wait for
// it, it dies with the child, and a first process of a pid namespace may have no sibling (clone(2), CLONE_PARENT).
#include <linux/seccomp.h>

#include "launch.h"

namespace ctr {
namespace {

constexpr i64 kPending = i64{1} << 62;
constexpr u64 kHelperStack = 16 * 1024;

struct Handover {
  i64 listener = kPending;  // what seccomp(2) returned
  u32 helper = 0;           // its thread id, until it is gone
  int socket;
  int report;
  i32 step;
};

/** One byte and the descriptor; see unix(7). */
i64 sendFd(int socket, int fd) {
  u8 byte = 0;
  IoVec iov = {&byte, 1};
  struct {
    CmsgHdr header;
    i32 fd;
    i32 pad;
  } control = {{sizeof(CmsgHdr) + sizeof(int), kSolSocket, kScmRights}, fd, 0};
  MsgHdr message = {nullptr, 0, &iov, 1, &control, sizeof control, 0};
  return retry([&] { return syscall6(__NR_sendmsg, static_cast<u64>(socket), ptr(&message), kMsgNoSignal | kMsgDontWait); });
}

void helperBody(void* argument) {
  auto& h = *static_cast<Handover*>(argument);
  struct __kernel_timespec wait = {0, 50'000};
  while (__atomic_load_n(&h.listener, __ATOMIC_ACQUIRE) == kPending)
    syscall6(__NR_clock_nanosleep, 1 /* CLOCK_MONOTONIC */, 0, ptr(&wait), 0);
  if (h.listener >= 0) {
    const i64 sent = sendFd(h.socket, static_cast<int>(h.listener));
    if (sent < 0) {
      // The child could not say it any more.
      const ReportRecord record = {static_cast<i32>(Stage::setup), h.step, static_cast<i32>(-sent)};
      retry([&] { return syscall6(__NR_write, static_cast<u64>(h.report), ptr(&record), sizeof record); });
      exitNow(127);
    }
  }
  for (;;) syscall6(__NR_exit, 0);
}

}  // namespace

i64 listenSeccomp(u64 flags, u64 program, int socket, u32 step, int report) {
  if (socket < 0 || report < 0) return -kEINVAL;
  alignas(16) u8 stack[kHelperStack];
  Handover h;
  h.socket = socket;
  h.report = report;
  h.step = static_cast<i32>(step);
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  args.parent_tid = args.child_tid = ptr(&h.helper);
  const i64 thread = cloneOnStack(args, stack, sizeof stack, helperBody, &h);
  if (thread < 0) return thread;
  const i64 listener = syscall6(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER, program);
  __atomic_store_n(&h.listener, listener, __ATOMIC_RELEASE);
  // Its stack is ours: not before it is gone. No call, so no sleep either; it takes some 100 µs.
  while (__atomic_load_n(&h.helper, __ATOMIC_ACQUIRE) != 0) {
#if defined(__x86_64__)
    asm volatile("pause");
#else
    asm volatile("yield");
#endif
  }
  return listener < 0 ? listener : 0;
}

}  // namespace ctr
