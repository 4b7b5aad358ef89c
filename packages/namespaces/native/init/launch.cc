// From the request to the child's exec.
//
//   monitor                          child
//     │ clone3(NEW*, INTO_CGROUP) ─────>│
//     │ write uid_map, gid_map          │ wait at the gate (only with new maps)
//     │ open the gate ─────────────────>│
//     │ beside steps                    │ setup steps 0..n ── failure ──> {stage, step, errno} on the report pipe
//     │ open the gate ─────────────────>│ of these await_monitor waits at the gate
//     │<── end of file: exec happened ──│ execve
//
// To enter running namespaces the child joins them (enter steps) before its setup. A pid namespace can only be joined by
// one's future children (setns(2)): where we may, we join it ourselves for the moment of the clone. Otherwise a second
// process comes between: it joins all, clones the child with CLONE_PARENT, so that the child is the monitor's own, and is
// gone. The kernel itself notes the child's pid.
// The maps of a new user namespace are then written by the one in between, who is in the parent of that namespace.
//
// CLONE_VM: the child borrows our memory instead of copying page tables, on a stack of its own. What the kernel
// does to a memory it does to all who share it, so this is only for a child
// - that is alone in new pid namespaces: a process that could see it could otherwise reach our memory;
// - whose memory is not limited: the OOM killer kills every process of the victim's memory (mm/oom_kill.c), us too;
// - whose oom_score_adj is not set: it is set for all who share the memory (fs/proc/base.c, __set_oom_adj).
// The sender knows and says so (kShareMemory). PR_SET_DUMPABLE is such a thing too: it stays off for all who share.
#include "launch.h"

#include "park.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace ctr {
namespace {

/** What the child needs; lies at the top of the arena's stack. */
struct Child {
  const LaunchRequest* request;
  int report;
  int gate;        // -1: nothing to wait for
  int gate_write;  // the child's own copy of the other end, which it must not keep
  bool maps;       // that are written before it goes on
  bool show;       // dumpable until the gate: see launch()
};

void unblockSignals() {
  const u64 none = 0;
  syscall6(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, ptr(&none), 0, sizeof none);
}

void runChildStage(const Child& child, Stage stage, u32 index) {
  Arena* arena = child.request->arena;
  Parking parking{arena->note, arena->message, kMessageSize};
  const StepContext context{&arena->slots, child.request->monitor_pidfd, nullptr,    nullptr,
                            child.report,  &arena->note->exec_tried,     child.gate, parks(*child.request) ? &parking : nullptr};
  const Failure f = runStage(arena->program, index, context);
  if (f.failed()) endWithReport(context.report_fd, stage, f.step, f.error);
}

void waitForMaps(const Child& child) {
  if (child.gate >= 0) syscall6(__NR_close, static_cast<u64>(child.gate_write));
  if (!child.maps) return;
  u8 byte = 0;
  const i64 n = retry([&] { return syscall6(__NR_read, static_cast<u64>(child.gate), ptr(&byte), 1); });
  if (n != 1) exitNow(127);
  // The maps are written, so /proc/self need not belong to the user any more.
  syscall6(__NR_prctl, PR_SET_DUMPABLE, 0);
}

[[noreturn]] void becomeProgram(const Child& child) {
  if (parks(*child.request)) forgetOthers(*child.request);
  unblockSignals();
  runChildStage(child, Stage::setup, launch_stage::setup);
  endWithReport(child.report, Stage::setup, static_cast<i32>(child.request->arena->program.counts[launch_stage::setup]) - 1, kEINVAL);
}

/** The plan sets it again after changes of ids, which clear it (prctl(2)). */
void endWithMonitor(const Child& child) {
  if (!dieWithMonitor(child.request->arena->program, {&child.request->arena->slots, child.request->monitor_pidfd, nullptr, nullptr})) exitNow(127);
}

void childBody(void* argument) {
  const Child child = *static_cast<Child*>(argument);
  endWithMonitor(child);
  waitForMaps(child);
  runChildStage(child, Stage::enter, launch_stage::enter);
  becomeProgram(child);
}

clone_args cloneArgs(const LaunchRequest& request, u64 extra_flags) {
  clone_args args = {};
  args.flags = request.header.clone_flags | extra_flags;
  if (request.header.cgroup_slot >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<u64>(request.arena->slots.fd[request.header.cgroup_slot]);
  }
  return args;
}

i64 writeFile(int directory, const char* path, const char* text) {
  const OwnedFd fd{retry([&] { return syscall6(__NR_openat, static_cast<u64>(directory), ptr(path), O_WRONLY | O_CLOEXEC); })};
  if (!fd.valid()) return fd.get();
  return retry([&] { return syscall6(__NR_write, static_cast<u64>(fd.get()), ptr(text), __builtin_strlen(text)); });
}

/** `proc`: a descriptor of /proc. */
i64 writeProcFile(int proc, i64 pid, const char* name, const char* text) {
  char path[64];
  u32 at = 0;
  char digits[20];
  u32 n = 0;
  for (i64 p = pid; p > 0; p /= 10) digits[n++] = static_cast<char>('0' + p % 10);
  while (n > 0) path[at++] = digits[--n];
  path[at++] = '/';
  for (; *name != 0; name++) path[at++] = *name;
  path[at] = 0;
  return writeFile(proc, path, text);
}

i64 openProc() {
  return retry([] { return syscall6(__NR_openat, static_cast<u64>(AT_FDCWD), ptr("/proc"), O_PATH | O_DIRECTORY | O_CLOEXEC); });
}

/** user_namespaces(7): setgroups before gid_map where the writer has no CAP_SETGID outside. */
Failure writeMaps(const LaunchRequest& request, int proc, i64 pid) {
  const Program& program = request.arena->program;
  if (request.header.flags & kDenySetgroups) {
    const i64 r = writeProcFile(proc, pid, "setgroups", "deny");
    if (r < 0) return {0, static_cast<i32>(-r)};
  }
  const i64 g = writeProcFile(proc, pid, "gid_map", program.text(request.header.gid_map));
  if (g < 0) return {1, static_cast<i32>(-g)};
  const i64 u = writeProcFile(proc, pid, "uid_map", program.text(request.header.uid_map));
  if (u < 0) return {2, static_cast<i32>(-u)};
  return {};
}

void openGate(int gate_write) {
  const u8 go = 1;
  syscall6(__NR_write, static_cast<u64>(gate_write), ptr(&go), 1);
}

/** The process that joins the namespaces of a running container and clones the program's process inside. */
void enterBody(void* argument) {
  const Child child = *static_cast<Child*>(argument);
  const LaunchRequest& request = *child.request;
  endWithMonitor(child);
  const bool maps = child.maps;
  // While it is ours: another mount namespace may be joined.
  const OwnedFd proc{maps ? openProc() : -1};
  runChildStage(child, Stage::enter, launch_stage::enter);
  clone_args args = cloneArgs(request, CLONE_PARENT | CLONE_PARENT_SETTID);
  args.parent_tid = ptr(&request.arena->note->entered_pid);
  if (child.show) syscall6(__NR_prctl, PR_SET_DUMPABLE, 1);
  const i64 pid = syscall6(__NR_clone3, ptr(&args), sizeof args);
  if (pid == 0) {
    endWithMonitor(child);
    waitForMaps(child);
    becomeProgram(child);
  }
  if (child.show) syscall6(__NR_prctl, PR_SET_DUMPABLE, 0);
  if (pid < 0) endWithReport(child.report, Stage::clone, 0, static_cast<i32>(-pid));
  if (maps) {
    const Failure f = writeMaps(request, proc.get(), pid);
    if (f.failed()) endWithReport(child.report, Stage::maps, f.step, f.error);
    openGate(child.gate_write);
  }
  exitNow(0);
}

/**
 * What must be there before the process goes on, while it makes its namespaces: both are of the slow kind, and two processors can do them at
 * once. In slots of its own, since a child that shares our memory works with those of the arena; the decoder sees to it that these steps change
 * no data.
 */
Failure runBeside(const LaunchRequest& request, Slots& slots) {
  return runStage(request.arena->program, launch_stage::beside, {&slots, request.monitor_pidfd, nullptr, nullptr});
}

/** Where both ends of a pipe are owned. */
struct Pipe {
  OwnedFd read, write;
  i64 open(u64 flags) {
    int fds[2];
    const i64 r = syscall6(__NR_pipe2, ptr(fds), flags);
    if (r < 0) return r;
    read.reset(fds[0]);
    write.reset(fds[1]);
    return 0;
  }
};

}  // namespace

void endWithReport(int report, Stage stage, i32 step, i32 error) {
  const ReportRecord record = {static_cast<i32>(stage), step, error};
  retry([&] { return syscall6(__NR_write, static_cast<u64>(report), ptr(&record), sizeof record); });
  exitNow(127);
}

bool dieWithMonitor(const Program& program, const StepContext& context) {
  syscall6(__NR_prctl, PR_SET_PDEATHSIG, kSigKill);
  const WireStep check = {static_cast<u16>(Op::assert_monitor), -1, 0, {}, 0, 0, {}, {}, 0, 0, 0};
  return runStep(program, check, 0, context) >= 0;
}

i64 cloneOnStack(clone_args& args, u8* stack, u64 stack_size, void (*body)(void*), void* argument) {
#if defined(__SANITIZE_ADDRESS__)
  // Of a build for tests: the frames of the last child on this stack never returned, and so are still marked.
  __asan_unpoison_memory_region(stack, stack_size);
#endif
  args.stack = ptr(stack);
  args.stack_size = stack_size;
#if defined(__x86_64__)
  i64 r;
  register void (*fn)(void*) asm("r12") = body;
  register void* arg asm("r13") = argument;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "xor %%ebp, %%ebp\n\t"
      "mov %%r13, %%rdi\n\t"
      "call *%%r12\n\t"
      "ud2\n"
      "1:"
      : "=a"(r)
      : "a"(static_cast<i64>(__NR_clone3)), "D"(&args), "S"(sizeof args), "r"(fn), "r"(arg)
      : "rcx", "r11", "memory");
  return r;
#else
  register u64 x8 asm("x8") = __NR_clone3;
  register u64 x0 asm("x0") = ptr(&args);
  register u64 x1 asm("x1") = sizeof args;
  register void (*fn)(void*) asm("x9") = body;
  register void* arg asm("x10") = argument;
  asm volatile(
      "svc 0\n\t"
      "cbnz x0, 1f\n\t"
      "mov x29, xzr\n\t"
      "mov x0, x10\n\t"
      "blr x9\n\t"
      "brk 1\n"
      "1:"
      : "+r"(x0)
      : "r"(x8), "r"(x1), "r"(fn), "r"(arg)
      : "memory", "cc");
  return static_cast<i64>(x0);
#endif
}

/**
 * Our next child is born in the pid namespace of `pidfd`. Only where the way back is open too: a namespace of pids that
 * another user namespace owns can be left, and not entered again (pid_namespaces(7)).
 */
bool joinPids(int pidfd, int self) {
  const auto join = [](int fd) { return syscall6(__NR_setns, static_cast<u64>(fd), CLONE_NEWPID) == 0; };
  // What we are does not change: once is enough.
  static bool may_return = false;
  if (!may_return) may_return = join(self);
  return may_return && join(pidfd);
}

void leavePids(int self) {
  // It worked a moment ago. Whoever would come next must not be born in there.
  if (syscall6(__NR_setns, static_cast<u64>(self), CLONE_NEWPID) != 0) exitNow(1);
}

LaunchResult launch(const LaunchRequest& request, Slots& ours) {
  LaunchResult result;
  const u32 flags = request.header.flags;
  const i32 pid_slot = request.header.pid_slot;
  const bool joined = pid_slot >= 0 && joinPids(request.arena->slots.fd[pid_slot], request.monitor_pidfd);
  const bool entering = request.arena->program.counts[launch_stage::enter] > 0 && !joined;
  const bool maps = (flags & kWriteMaps) != 0;
  const bool beside = request.arena->program.counts[launch_stage::beside] > 0;

  *request.arena->note = {};
  Pipe report, gate;
  i64 r = report.open(O_CLOEXEC | O_NONBLOCK);
  if (r == 0 && (maps || beside)) r = gate.open(O_CLOEXEC);
  if (r < 0) {
    if (joined) leavePids(request.monitor_pidfd);
    result.failure = {0, static_cast<i32>(-r)};
    return result;
  }
  // An unprivileged monitor may write the child's maps only while /proc/<pid> belongs to its user (proc(5)). The child
  // begins dumpable then, until the gate; in a memory of its own, or one child would hide another from us.
  // A process in between may have become somebody else to join what is around the new namespace.
  const bool show = maps && (entering || syscall6(__NR_geteuid) != 0);
  if (show && !entering) syscall6(__NR_prctl, PR_SET_DUMPABLE, 1);

  // In the arena's own stack memory, not in this frame: a CLONE_VM child reads it after we may have returned.
  auto* child = reinterpret_cast<Child*>(request.arena->stack + kStackSize - 64);
  auto* kept = reinterpret_cast<LaunchRequest*>(request.arena->stack + kStackSize - 64 - ((sizeof(LaunchRequest) + 63) & ~u64{63}));
  *kept = request;
  *child = Child{kept, report.write.get(), gate.read.get(), gate.write.get(), maps, show};
  const u64 stack_size = static_cast<u64>(reinterpret_cast<u8*>(kept) - request.arena->stack) & ~u64{15};

  int pidfd = -1;
  clone_args args = entering ? clone_args{} : cloneArgs(request, (flags & kShareMemory) && !show ? CLONE_VM : 0);
  args.flags |= CLONE_PIDFD;
  args.pidfd = ptr(&pidfd);
  args.exit_signal = kSigChld;
  const i64 pid = cloneOnStack(args, request.arena->stack, stack_size, entering ? enterBody : childBody, child);
  if (joined) leavePids(request.monitor_pidfd);
  if (show && !entering) syscall6(__NR_prctl, PR_SET_DUMPABLE, 0);
  if (pid < 0) {
    result.failure = {0, static_cast<i32>(-pid)};
  } else {
    result.pid = static_cast<i32>(pid);
    result.in_between = entering;
    result.pidfd.reset(pidfd);
    result.report = static_cast<OwnedFd&&>(report.read);
    if (maps && !entering) {
      const OwnedFd proc{openProc()};
      result.failure = writeMaps(request, proc.get(), pid);
      result.stage = Stage::maps;
      if (!result.failure.failed()) openGate(gate.write.get());
    }
    if (beside && !result.failure.failed()) {
      result.failure = runBeside(request, ours);
      result.stage = Stage::beside;
      if (!result.failure.failed()) openGate(gate.write.get());
    }
  }
  return result;
}

}  // namespace ctr
