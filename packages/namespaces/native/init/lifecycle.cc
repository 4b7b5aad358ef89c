// From the child's report to the last clean-up step.
//
//   launching ── exec ──> running ── exit ──> cleaning ──> gone
//       └── failure ──> dying ── exit ──────────┘
#include "monitor.h"

namespace ctr {
namespace {

inline constexpr u64 kCleanupPatienceNs = 5'000'000'000;  // EBUSY of a dying cgroup is retried this long

i64 waitFor(int pidfd, SigInfo* info, rusage* usage, u64 options) {
  return retry([&] { return syscall6(__NR_waitid, P_PIDFD, static_cast<u64>(pidfd), ptr(info), options | WEXITED | __WALL, ptr(usage)); });
}

}  // namespace

void Monitor::onReport(Container* c) {
  ReportRecord record;
  for (;;) {
    const i64 n = retry([&] { return syscall6(__NR_read, static_cast<u64>(c->report.get()), ptr(&record), sizeof record); });
    if (n == -kEAGAIN) return;
    if (n != static_cast<i64>(sizeof record)) return onReportEnd(c);
    if (record.kind == ReportRecord::failure && !c->failure.failed()) {
      c->failure_stage = static_cast<Stage>(record.a);
      c->failure = {record.b, record.c};
    } else if (record.kind == ReportRecord::child && !c->pidfd.valid()) {
      // Our own child and not yet waited for: the number cannot have been given to another process.
      c->pid = record.a;
      c->pidfd.reset(static_cast<int>(syscall6(__NR_pidfd_open, static_cast<u64>(record.a), 0)));
      if (c->pidfd.valid()) watch(c->pidfd.get(), &c->process_watch);
    }
  }
}

/** PF_FORKNOEXEC in /proc/<pid>/stat (proc(5)): tells a child that was killed before its exec from one that ran. */
bool Monitor::neverExecuted(const Container& c) const {
  char path[40] = "/proc/";
  u32 at = 6;
  char digits[12];
  u32 n = 0;
  for (i32 p = c.pid; p > 0; p /= 10) digits[n++] = static_cast<char>('0' + p % 10);
  while (n > 0) path[at++] = digits[--n];
  __builtin_memcpy(path + at, "/stat", 6);
  const OwnedFd fd{syscall6(__NR_openat, static_cast<u64>(AT_FDCWD), ptr(path), O_RDONLY | O_CLOEXEC)};
  if (!fd.valid()) return false;
  char text[512];
  const i64 size = syscall6(__NR_read, static_cast<u64>(fd.get()), ptr(text), sizeof text);
  i64 i = size - 1;
  while (i > 0 && text[i] != ')') i--;
  // After the name: state ppid pgrp session tty tpgid flags
  u32 field = 0;
  u64 flags = 0;
  for (; i > 0 && i < size && field <= 7; i++) {
    if (text[i] == ' ') field++;
    else if (field == 7) flags = flags * 10 + static_cast<u64>(text[i] - '0');
  }
  return (flags & 0x40) != 0;
}

/** Nobody holds the report pipe any more: the program runs, or the child is gone. */
void Monitor::onReportEnd(Container* c) {
  unwatch(c->report.get());
  c->report.reset();
  if (c->enter_pidfd.valid()) {
    SigInfo info;
    waitFor(c->enter_pidfd.get(), &info, nullptr, 0);
    c->enter_pidfd.reset();
  }
  if (Arena* arena = c->arena; arena != nullptr) {
    arena->slots.clear();
    c->arena = nullptr;
    giveArena(arena);
  }
  if (!c->pidfd.valid()) {
    if (!c->failure.failed()) {
      c->failure = {0, kEAGAIN};
      c->failure_stage = Stage::enter;
    }
    return finish(c);
  }
  if (!c->failure.failed()) {
    struct pollfd p = {c->pidfd.get(), POLLIN, 0};
    struct __kernel_timespec zero = {0, 0};
    const bool dead = syscall6(__NR_ppoll, ptr(&p), 1, ptr(&zero), 0, 0) == 1;
    if (dead && neverExecuted(*c)) {
      c->failure = {0, 4 /* EINTR: killed on its way */};
      c->failure_stage = Stage::setup;
    }
  }
  if (c->failure.failed()) {
    if (c->process_gone) return finish(c);
    c->state = State::dying;
    return;
  }
  c->started = true;
  c->state = State::running;
  EventHeader e = event(EventKind::started, *c);
  e.a = c->pid;
  sendEvent(e, c->pidfd.get(), nullptr, 0);
  if (owner_gone_) killAll(c);
  if (c->process_gone) finish(c);
}

void Monitor::onProcessExit(Container* c) {
  if (c->report.valid()) {
    // Read its last words before it is reaped: neverExecuted needs the zombie.
    struct pollfd p = {c->report.get(), POLLIN, 0};
    struct __kernel_timespec soon = {1, 0};
    while (c->report.valid() && syscall6(__NR_ppoll, ptr(&p), 1, ptr(&soon), 0, 0) == 1) {
      onReport(c);
    }
  }
  if (waitFor(c->pidfd.get(), &c->exit_info, &c->usage, WNOHANG) < 0 || c->exit_info.pid == 0) return;
  unwatch(c->pidfd.get());
  c->process_gone = true;
  if (!c->report.valid()) finish(c);
}

/** Before there is a process. */
void Monitor::fail(Container* c, Stage stage, Failure failure) {
  c->failure = failure;
  c->failure_stage = stage;
  if (Arena* arena = c->arena; arena != nullptr) {
    c->arena = nullptr;
    giveArena(arena);
  }
  finish(c);
}

/** No process is left: tell Node, then clean up. */
void Monitor::finish(Container* c) {
  c->state = State::cleaning;
  if (c->started) {
    EventHeader e = event(EventKind::exited, *c);
    e.a = c->exit_info.code;
    e.b = c->exit_info.status;
    e.user_us = c->usage.ru_utime.tv_sec * 1'000'000 + c->usage.ru_utime.tv_usec;
    e.system_us = c->usage.ru_stime.tv_sec * 1'000'000 + c->usage.ru_stime.tv_usec;
    e.max_rss_kb = c->usage.ru_maxrss;
    collect(*c);
    sendEvent(e, -1, payload_, payload_size_);
  }
  c->cleanup_at = 0;
  c->retry_until_ns = 0;
  cleanup(c);
}

void Monitor::killAll(Container* c) {
  for (const OwnedFd* fd : {&c->enter_pidfd, &c->pidfd})
    if (fd->valid()) syscall6(__NR_pidfd_send_signal, static_cast<u64>(fd->get()), kSigKill, 0, 0);
  // For what a pid namespace does not take along, such as cgroup.kill; a failure shows in the clean-up.
  Slots none;
  none.clear();
  runStage(c->after, 0, {&none, self_.get(), nullptr, nullptr});
}

/** Runs the clean-up steps from where it stopped. A failed step does not stop the others. */
void Monitor::cleanup(Container* c) {
  Slots none;
  none.clear();
  const StepContext context{&none, self_.get(), nullptr, nullptr};
  while (c->cleanup_at < c->after.counts[2]) {
    const u32 at = c->cleanup_at;
    const WireStep& step = c->after.steps[2][at];
    if (step.op == static_cast<u16>(Op::remove_tree)) {
      // A tree may be large: a process of its own deletes it, so that nobody's start waits.
      int pidfd = -1;
      clone_args args = {};
      args.flags = CLONE_PIDFD;
      args.pidfd = ptr(&pidfd);
      args.exit_signal = kSigChld;
      const i64 pid = syscall6(__NR_clone3, ptr(&args), sizeof args);
      if (pid == 0) exitNow(removeTree(c->after.text(static_cast<u32>(step.args[0]))) < 0 ? 1 : 0);
      if (pid > 0) {
        c->helper.reset(pidfd);
        return watch(pidfd, &c->helper_watch);
      }
    }
    const i64 r = runStep(c->after, step, at, context);
    if (r == -kEBUSY) {
      const u64 now = monotonicNs();
      if (c->retry_until_ns == 0) c->retry_until_ns = now + kCleanupPatienceNs;
      if (now < c->retry_until_ns) {
        c->retry_at_ns = now + 1'000'000;
        return;
      }
    }
    if (r < 0 && !allowed(step, r) && c->cleanup_failed < 4)
      c->cleanup_failures[c->cleanup_failed++] = {static_cast<i32>(at), static_cast<i32>(-r)};
    c->cleanup_at += 1 + (r >= 0 ? step.skip_on_success : allowed(step, r) ? step.skip_on_allowed : 0);
    c->retry_until_ns = 0;
  }
  finishCleanup(c);
}

void Monitor::onHelperExit(Container* c) {
  SigInfo info = {};
  if (waitFor(c->helper.get(), &info, nullptr, WNOHANG) < 0 || info.pid == 0) return;
  unwatch(c->helper.get());
  c->helper.reset();
  if (info.status != 0 && c->cleanup_failed < 4) c->cleanup_failures[c->cleanup_failed++] = {static_cast<i32>(c->cleanup_at), kENOTEMPTY};
  c->cleanup_at++;
  cleanup(c);
}

void Monitor::finishCleanup(Container* c) {
  if (c->started) {
    EventHeader e = event(EventKind::cleaned, *c);
    e.a = static_cast<i32>(c->cleanup_failed);
    sendEvent(e, -1, c->cleanup_failures, c->cleanup_failed * sizeof(Failure));
  } else if (!c->is_hold || c->failure.failed()) {
    EventHeader e = event(EventKind::failed, *c);
    e.a = static_cast<i32>(c->failure_stage);
    e.b = c->failure.step;
    e.c = c->failure.error;
    e.d = static_cast<i32>(c->cleanup_failed);
    sendEvent(e, -1, c->cleanup_failures, c->cleanup_failed * sizeof(Failure));
  }
  freeContainer(c);
}

}  // namespace ctr
