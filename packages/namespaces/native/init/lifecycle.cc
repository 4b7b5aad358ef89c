// From the child's report to the last clean-up step.
//
//   launching ────────── exec ──> running ── exit ──> cleaning ──> gone
//    │  └──> parked ── exec ─────────┘                    │
//    └── failure ┴──────> dying ── exit ──────────────────┘
#include "monitor.h"

namespace ctr {
namespace {

constexpr u64 kCleanupPatienceNs = 5'000'000'000;  // EBUSY of a dying cgroup is retried this long
constexpr u64 kRetryNs = 1'000'000;
constexpr u64 kRetryRemovalNs = 100'000'000;  // each try is a process that walks the tree
constexpr i32 kNoStep = 0x7fffffff;  // a failure of no step: killed on its way to exec

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
    if (c->failure.failed()) continue;
    if (record.error == 0) {
      onParked(c);
      continue;
    }
    c->failure_stage = static_cast<Stage>(record.stage);
    c->failure = {record.step, record.error};
  }
}

/** Waits for the process in between, which is ending and never blocks, and takes over the child that it made, if any. */
void Monitor::adoptEntered(Container* c) {
  if (!c->enter_pidfd.valid()) return;
  waitFor(c->enter_pidfd.get(), nullptr, nullptr, 0);
  c->enter_pidfd.reset();
  c->pid = c->note->entered_pid;
  if (c->pid == 0) return;
  // Our own child and not yet waited for: the number cannot have been given to another process.
  c->pidfd.reset(static_cast<int>(syscall6(__NR_pidfd_open, static_cast<u64>(c->pid), 0)));
  if (c->pidfd.valid()) return watch(c->pidfd.get(), &c->process_watch);
  // No descriptor left to watch it by: it must not run unwatched.
  syscall6(__NR_kill, static_cast<u64>(c->pid), kSigKill);
  retry([&] { return syscall6(__NR_waitid, P_PID, static_cast<u64>(c->pid), 0, WEXITED | __WALL, 0); });
  c->failure = {0, -c->pidfd.get()};
  c->failure_stage = Stage::enter;
}

/** It waits for its program, and may do so for long: what a launch takes of ours is free for the next. */
void Monitor::onParked(Container* c) {
  if (c->state != State::launching || !c->parks || c->arena == nullptr) return;
  adoptEntered(c);
  // Then it was ended, and the end of its report follows.
  if (c->failure.failed()) return;
  launching_--;
  c->state = State::parked;
  letGoOfArena(c);
  EventHeader e = event(EventKind::parked, *c);
  e.a = c->pid;
  sendEvent(e, -1, nullptr, 0);
  if (owner_gone_) killAll(c);
}

void Monitor::letGoOfArena(Container* c) {
  Arena* arena = c->arena;
  if (arena == nullptr) return;
  c->arena = nullptr;
  arena->slots.clear();
  giveArena(arena);
}

/** Nobody holds the report pipe any more: the program runs, or the child is gone. */
void Monitor::onReportEnd(Container* c) {
  if (c->state == State::launching) launching_--;
  unwatch(c->report.get());
  c->report.reset();
  adoptEntered(c);
  if (c->note->exec_tried == 0 && !c->failure.failed()) {
    c->failure = {kNoStep, kEINTR};
    c->failure_stage = Stage::setup;
  }
  letGoOfArena(c);
  if (!c->pidfd.valid()) return finish(c);
  if (c->failure.failed()) {
    c->state = State::dying;
    if (c->process_gone) finish(c);
    return;
  }
  c->started = true;
  c->state = State::running;
  EventHeader e = event(EventKind::started, *c);
  e.a = c->pid;
  sendEvent(e, c->pidfd.get(), nullptr, 0);
  spares_.want(c->spare_key, reinterpret_cast<const u8*>(c) + sizeof(Container), c->after_size);
  if (owner_gone_) killAll(c);
  if (c->process_gone) finish(c);
}

void Monitor::onProcessExit(Container* c) {
  // Its last words first: it is dead, so the end of the report is there, or comes as soon as the kernel is done with it.
  struct pollfd p = {c->report.get(), POLLIN, 0};
  struct __kernel_timespec soon = {1, 0};
  while (c->report.valid() && syscall6(__NR_ppoll, ptr(&p), 1, ptr(&soon), 0, 0) == 1) onReport(c);
  const i64 r = waitFor(c->pidfd.get(), &c->exit_info, &c->usage, WNOHANG);
  if (r == 0 && c->exit_info.pid == 0) return;
  if (r < 0) c->exit_info.code = kCldKilled, c->exit_info.status = kSigKill;
  unwatch(c->pidfd.get());
  c->process_gone = true;
  if (!c->report.valid()) finish(c);
}

/**
 * A process that joins a running container can be stopped by that one's root (kill(2)) before it is the program. It would hold
 * its place for ever, and as many as there are places would keep every other container from starting: it is ended.
 */
void Monitor::endStopped() {
  const u64 now = monotonicNs();
  if (now < look_at_ns_) return;
  look_at_ns_ = now + u64{kLookMs} * 1'000'000;
  for (Container* c = containers_; c != nullptr; c = c->next) {
    if (c->state != State::launching || c->process_gone) continue;
    // Not yet reaped, so neither number can have come to mean another process.
    const u64 type = c->pidfd.valid() ? P_PIDFD : P_PID;
    const i32 id = c->pidfd.valid() ? c->pidfd.get() : c->note->entered_pid;
    SigInfo info = {};
    if (id <= 0) continue;
    const i64 r = syscall6(__NR_waitid, type, static_cast<u64>(id), ptr(&info), WSTOPPED | WNOHANG | __WALL, 0);
    if (r == 0 && info.pid != 0) killAll(c);
  }
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
  kept_.forget(c->id);
  if (c->started) {
    EventHeader e = event(EventKind::exited, *c);
    e.a = c->exit_info.code;
    e.b = c->exit_info.status;
    e.user_us = c->usage.ru_utime.tv_sec * 1'000'000 + c->usage.ru_utime.tv_usec;
    e.system_us = c->usage.ru_stime.tv_sec * 1'000'000 + c->usage.ru_stime.tv_usec;
    e.max_rss_kb = c->usage.ru_maxrss;
    collect(*c);
    sendEvent(e, -1, payload_, payload_size_);
    // In a pid namespace all of it died with the first process; elsewhere its children may live on in the cgroup.
    if (!c->own_pids) runKillSteps(*c);
  }
  c->cleanup_at = 0;
  c->retry_until_ns = 0;
  cleanup(c);
}

void Monitor::runKillSteps(const Container& c) {
  Slots slots;
  slots.clear();
  runStage(c.after, after_stage::kill, {&slots, self_.get(), nullptr, nullptr});
  slots.closeAll();
}

void Monitor::killAll(Container* c) {
  const auto kill = [](const OwnedFd& pidfd) { syscall6(__NR_pidfd_send_signal, static_cast<u64>(pidfd.get()), kSigKill, 0, 0); };
  if (c->enter_pidfd.valid()) {
    kill(c->enter_pidfd);
    adoptEntered(c);
  }
  if (c->pidfd.valid()) kill(c->pidfd);
  // For what a pid namespace does not take along, such as cgroup.kill; a failure shows in the clean-up.
  runKillSteps(*c);
}

/** Runs the clean-up steps from where it stopped. A failed step does not stop the others. Slots do not outlast a pause, but those of a hold. */
void Monitor::cleanup(Container* c) {
  if (c->retrying) retrying_--;
  c->retrying = false;
  Slots own;
  own.clear();
  const StepContext context{c->held_slots != nullptr ? c->held_slots : &own, self_.get(), nullptr, nullptr};
  const u32 count = c->after.counts[after_stage::cleanup];
  while (c->cleanup_at < count) {
    const WireStep& step = c->after.steps[after_stage::cleanup][c->cleanup_at];
    i64 result = 1;
    if (step.op == static_cast<u16>(Op::remove_tree)) {
      const char* path = c->after.text(static_cast<u32>(step.args[0]));
      // What is empty, as a control group nearly always is, needs no process.
      result = syscall6(__NR_unlinkat, static_cast<u64>(AT_FDCWD), ptr(path), AT_REMOVEDIR);
      if (result == -kENOENT) result = 0;
      if (result != 0 && startRemoval(c, step)) break;
    }
    if (!cleanupStepDone(c, result == 0 ? 0 : runStep(c->after, step, c->cleanup_at, context))) break;
  }
  own.closeAll();
  if (c->cleanup_at >= count) finishCleanup(c);
}

/** Counts a step that ran; false when it is to be tried again soon. */
bool Monitor::cleanupStepDone(Container* c, i64 result) {
  const u32 at = c->cleanup_at;
  const WireStep& step = c->after.steps[after_stage::cleanup][at];
  const u64 now = monotonicNs();
  if (result == -kEBUSY && c->retry_until_ns == 0) c->retry_until_ns = now + kCleanupPatienceNs;
  if (result == -kEBUSY && now < c->retry_until_ns) {
    c->retry_at_ns = now + (step.op == static_cast<u16>(Op::remove_tree) ? kRetryRemovalNs : kRetryNs);
    c->retrying = true;
    retrying_++;
    return false;
  }
  if (result < 0 && !allowed(step, result) && c->cleanup_failed < 4)
    c->cleanup_failures[c->cleanup_failed++] = {static_cast<i32>(at), static_cast<i32>(-result)};
  c->cleanup_at += 1 + (result >= 0 ? step.skip_on_success : allowed(step, result) ? step.skip_on_allowed : 0);
  c->retry_until_ns = 0;
  return true;
}

/**
 * A tree may be large: a process of its own deletes it, so that nobody's start waits. Its exit code is the errno. What the users of a
 * range made is not ours to remove: then it does so as the root of the namespace that has them all, which is ours (user_namespaces(7)).
 */
bool Monitor::startRemoval(Container* c, const WireStep& step) {
  const char* path = c->after.text(static_cast<u32>(step.args[0]));
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_PIDFD;
  args.pidfd = ptr(&pidfd);
  args.exit_signal = kSigChld;
  const i64 pid = syscall6(__NR_clone3, ptr(&args), sizeof args);
  if (pid == 0) {
    if (removesWithin(step)) {
      const i64 r = syscall6(__NR_setns, static_cast<u64>(c->around.get()), CLONE_NEWUSER);
      if (r < 0) exitNow(static_cast<int>(-r));
    }
    // After the change of rights, which clears it (prctl(2)).
    syscall6(__NR_prctl, PR_SET_PDEATHSIG, kSigKill);
    // Its copies would keep open what we let go, such as the lock of a session.
    syscall6(__NR_close_range, 0, ~0u, 0);
    exitNow(static_cast<int>(-removeTree(path)));
  }
  if (pid < 0) return false;
  c->helper.reset(pidfd);
  watch(pidfd, &c->helper_watch);
  return true;
}

void Monitor::onHelperExit(Container* c) {
  SigInfo info = {};
  if (waitFor(c->helper.get(), &info, nullptr, WNOHANG) == 0 && info.pid == 0) return;
  unwatch(c->helper.get());
  c->helper.reset();
  if (cleanupStepDone(c, info.code == kCldExited ? -info.status : -kEINTR)) cleanup(c);
}

/** Only when we have let go of everything, such as the lock of a hold, is Node told so. */
void Monitor::finishCleanup(Container* c) {
  EventHeader e = event(c->started ? EventKind::cleaned : EventKind::failed, *c);
  const u32 count = c->cleanup_failed;
  Failure failures[4];
  for (u32 i = 0; i < count; i++) failures[i] = c->cleanup_failures[i];
  if (c->started) {
    e.a = static_cast<i32>(count);
  } else {
    e.a = static_cast<i32>(c->failure_stage);
    e.b = c->failure.step;
    e.c = c->failure.error;
    e.d = static_cast<i32>(count);
  }
  freeContainer(c);
  sendEvent(e, -1, failures, count * sizeof(Failure));
}

}  // namespace ctr
