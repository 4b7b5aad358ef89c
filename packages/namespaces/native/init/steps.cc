// One step is one system call with its arguments filled in; the composite operations do what one call cannot.
#include "steps.h"

#include "park.h"

namespace ctr {
namespace {

void applyPatches(const Program& program, const WireStep& step, const Slots& slots) {
  for (u32 i = 0; i < step.patch_count; i++) {
    const WirePatch& patch = program.patches[step.patch_first + i];
    u8* at = program.data + patch.at;
    if (patch.kind == static_cast<u16>(ArgKind::pointer)) {
      const u64 value = ptr(program.data + patch.value);
      __builtin_memcpy(at, &value, sizeof value);
    } else {
      __builtin_memcpy(at, &slots.fd[patch.value], sizeof(int));
    }
  }
}

u64 argument(const Program& program, const WireStep& step, u32 i, const Slots& slots) {
  switch (static_cast<ArgKind>(step.arg_kind[i])) {
    case ArgKind::pointer:
      return ptr(program.data + step.args[i]);
    case ArgKind::slot:
      return static_cast<u64>(static_cast<i64>(slots.fd[step.args[i]]));
    default:
      return step.args[i];
  }
}

i64 runSyscall(const Program& program, const WireStep& step, const Slots& slots) {
  u64 a[6];
  for (u32 i = 0; i < 6; i++) a[i] = argument(program, step, i, slots);
  // openat2 answers EAGAIN when something was renamed below it at that moment (openat2(2)): a bounded retry,
  // since a hostile renamer must not hold us for ever.
  int races = 1000;
  return retry([&] {
    i64 r;
    do r = syscall6(step.nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    while (r == -kEAGAIN && step.nr == __NR_openat2 && --races > 0);
    return r;
  });
}

/** The monitor's pidfd is readable once it is dead; then nobody would ever kill this process. */
i64 assertMonitor(int pidfd) {
  struct pollfd p = {pidfd, POLLIN, 0};
  struct __kernel_timespec zero = {0, 0};
  const i64 r = retry([&] { return syscall6(__NR_ppoll, ptr(&p), 1, ptr(&zero), 0, 0); });
  return r == 0 ? 0 : -kEPERM;
}

/** Until the monitor's own part is done; a monitor that ends takes us along (PR_SET_PDEATHSIG). */
i64 awaitMonitor(int gate) {
  u8 byte = 0;
  const i64 n = retry([&] { return syscall6(__NR_read, static_cast<u64>(gate), ptr(&byte), 1); });
  return n == 1 ? 0 : n < 0 ? n : -kECANCELED;
}

/**
 * Closes everything from `first` on but the report pipe and the listener's socket (-1: none), before the program's path is looked up: a path such as
 * /proc/self/fd/7 out of an image must find no directory of the host (CVE-2024-21626).
 */
i64 closeFds(u64 first, int report, int socket) {
  if (report < 0) return -kEINVAL;
  const bool reversed = socket >= 0 && socket < report;
  for (const int keep : {reversed ? socket : report, reversed ? report : socket}) {
    if (keep < 0 || static_cast<u64>(keep) < first) continue;
    const u64 kept = static_cast<u64>(keep);
    if (kept > first) syscall6(__NR_close_range, first, kept - 1, 0);
    first = kept + 1;
  }
  return syscall6(__NR_close_range, first, ~0u, 0);
}

/** Out of the way of the numbers that the program is to have: from `lowest` on. */
i64 moveReport(u64 lowest, int& report) {
  const i64 moved = syscall6(__NR_fcntl, static_cast<u64>(report), F_DUPFD_CLOEXEC, lowest);
  if (moved < 0) return moved;
  syscall6(__NR_close, static_cast<u64>(report));
  report = static_cast<int>(moved);
  return 0;
}

/** A process that was made for its steps alone ends here, as a program would that ran. Never the monitor itself. */
i64 finish(u64 exit_code, u32* exec_tried) {
  if (exec_tried == nullptr) return -kEINVAL;
  *exec_tried = 1;
  exitNow(static_cast<int>(exit_code));
}

/** Not repeated after EINTR, since the descriptor is gone then too (close(2)); the slot is unset, so that nobody closes the number again. */
i64 closeSlot(Slots& slots, u64 index) {
  const int fd = slots.fd[index];
  slots.fd[index] = -1;
  return syscall6(__NR_close, static_cast<u64>(static_cast<i64>(fd)));
}

void store(Slots& slots, i32 into, i64 result) {
  int& target = slots.fd[into];
  if (target >= 0) syscall6(__NR_close, static_cast<u64>(target));
  target = static_cast<int>(result);
}

}  // namespace

bool allowed(const WireStep& step, i64 result) {
  for (const u16 e : step.allow)
    if (e != 0 && result == -i64{e}) return true;
  return false;
}

i64 runStep(const Program& program, const WireStep& step, u32 index, const StepContext& context) {
  applyPatches(program, step, *context.slots);
  switch (static_cast<Op>(step.op)) {
    case Op::report_file:
      if (context.report_file != nullptr) context.report_file(context.sink, index, program.text(static_cast<u32>(step.args[0])));
      return 0;
    case Op::remove_tree:
      return removeTree(program.text(static_cast<u32>(step.args[0])));
    case Op::assert_monitor:
      return assertMonitor(context.monitor_pidfd);
    case Op::close_fds:
      return closeFds(step.args[0], context.report_fd,
                      static_cast<ArgKind>(step.arg_kind[1]) == ArgKind::slot ? context.slots->fd[step.args[1]] : -1);
    case Op::move_report:
      return moveReport(step.args[0], context.report_fd);
    case Op::make_target: {
      const int mount = static_cast<int>(argument(program, step, 0, *context.slots));
      // A number below 0 asks for a directory; a slot that nothing is in is a plan gone wrong, and makes nothing anywhere.
      if (mount < 0 && static_cast<ArgKind>(step.arg_kind[0]) == ArgKind::slot) return -kEBADF;
      const i64 place = makeTarget(mount, program.text(static_cast<u32>(step.args[1])));
      if (place >= 0 && step.into >= 0) store(*context.slots, step.into, place);
      return place;
    }
    case Op::copy_tree:
      return copyTree(static_cast<int>(argument(program, step, 0, *context.slots)), static_cast<int>(argument(program, step, 1, *context.slots)),
                      argument(program, step, 2, *context.slots) != 0);
    case Op::await_monitor:
      return awaitMonitor(context.gate);
    case Op::await_program:
      return awaitProgram(static_cast<int>(argument(program, step, 0, *context.slots)), index, context);
    case Op::finish:
      return finish(step.args[0], context.exec_tried);
    case Op::listen_seccomp:
      return listenSeccomp(argument(program, step, 0, *context.slots), argument(program, step, 1, *context.slots),
                           static_cast<int>(argument(program, step, 2, *context.slots)), index, context.report_fd);
    case Op::syscall:
      break;
  }
  if (step.nr == __NR_close && static_cast<ArgKind>(step.arg_kind[0]) == ArgKind::slot) return closeSlot(*context.slots, step.args[0]);
  if (context.exec_tried != nullptr && (step.nr == __NR_execve || step.nr == __NR_execveat)) *context.exec_tried = 1;
  const i64 result = runSyscall(program, step, *context.slots);
  if (result >= 0 && step.into >= 0) store(*context.slots, step.into, result);
  return result;
}

Failure runStage(const Program& program, u32 stage, const StepContext& context) {
  for (u32 i = 0; i < program.counts[stage]; i++) {
    const WireStep& step = program.steps[stage][i];
    const i64 result = runStep(program, step, i, context);
    if (result >= 0)
      i += step.skip_on_success;
    else if (allowed(step, result))
      i += step.skip_on_allowed;
    else
      return Failure{static_cast<i32>(i), static_cast<i32>(-result)};
  }
  return Failure{};
}

}  // namespace ctr
