// The event loop. Every wait of the monitor is here; nothing else blocks, except a disk that a clean-up step touches.
#include "monitor.h"

namespace ctr {

u64 monotonicNs() {
  struct __kernel_timespec t = {};
  syscall6(__NR_clock_gettime, 1 /* CLOCK_MONOTONIC */, ptr(&t));
  return static_cast<u64>(t.tv_sec) * 1'000'000'000 + static_cast<u64>(t.tv_nsec);
}

void Monitor::watch(int fd, Watch* watch) {
  epoll_event e = {};
  e.events = EPOLLIN | EPOLLHUP;
  e.data = ptr(watch);
  syscall6(__NR_epoll_ctl, static_cast<u64>(epoll_.get()), EPOLL_CTL_ADD, static_cast<u64>(fd), ptr(&e));
}

/** Always before close: a child that holds a copy of the description would keep the event alive (epoll(7)). */
void Monitor::unwatch(int fd) {
  epoll_event e = {};
  syscall6(__NR_epoll_ctl, static_cast<u64>(epoll_.get()), EPOLL_CTL_DEL, static_cast<u64>(fd), ptr(&e));
}

bool Monitor::start() {
  syscall6(__NR_prctl, PR_SET_NAME, ptr("ctr-init"));
  // Nothing in a container may look into this process (CVE-2016-9962).
  syscall6(__NR_prctl, PR_SET_DUMPABLE, 0);
  syscall6(__NR_setsid);
  syscall6(__NR_chdir, ptr("/"));
  syscall6(__NR_umask, 077);
  // A terminal's or a user's signal must not end the one who cleans up; SIGKILL still does, and PDEATHSIG answers it.
  const u64 all = ~u64{0};
  syscall6(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, ptr(&all), 0, sizeof all);
  // glibc's posix_spawn leaves 32 and 33 ignored, and the programs would inherit that.
  const u64 by_default[4] = {};  // struct sigaction of the kernel: SIG_DFL
  for (u64 signal = 1; signal <= 64; signal++) syscall6(__NR_rt_sigaction, signal, ptr(by_default), 0, sizeof all);
  syscall6(__NR_close_range, static_cast<u64>(lifeline_ + 1), ~0u, 0);
  epoll_.reset(static_cast<int>(syscall6(__NR_epoll_create1, EPOLL_CLOEXEC)));
  self_.reset(static_cast<int>(syscall6(__NR_pidfd_open, static_cast<u64>(syscall6(__NR_getpid)), 0)));
  const i64 notes = syscall6(__NR_mmap, 0, Arenas::kCount * sizeof(ChildNote), 3 /* READ|WRITE */, 0x21 /* SHARED|ANONYMOUS */, static_cast<u64>(-1), 0);
  if (!epoll_.valid() || !self_.valid() || notes < 0) return false;
  notes_ = reinterpret_cast<ChildNote*>(notes);
  watch(control_, &control_watch_);
  watch(lifeline_, &lifeline_watch_);
  return true;
}

void Monitor::run() {
  if (!start()) return;
  EventHeader ready = {};
  ready.kind = static_cast<u32>(EventKind::ready);
  sendEvent(ready, -1, nullptr, 0);
  loop();
}

void Monitor::loop() {
  while (!owner_gone_ || containers_ != nullptr) {
    epoll_event e = {};
    // One event at a time: handling one may end what another of the same batch belongs to.
    const i64 n = syscall6(__NR_epoll_pwait, static_cast<u64>(epoll_.get()), ptr(&e), 1, static_cast<u64>(static_cast<i64>(nextTimeoutMs())), 0, 8);
    if (n == 1) dispatch(*reinterpret_cast<const Watch*>(e.data));
    retryCleanups();
    if (launching_ > 0)
      endStopped();
    else
      makeSpare();
  }
}

void Monitor::dispatch(const Watch& watch) {
  switch (watch.kind) {
    case Watch::Kind::control:
      return onControl();
    case Watch::Kind::lifeline:
      return onLifeline();
    case Watch::Kind::report:
      return onReport(watch.container);
    case Watch::Kind::process:
      return onProcessExit(watch.container);
    case Watch::Kind::helper:
      return onHelperExit(watch.container);
    case Watch::Kind::spare:
      unwatch(spares_.maker());
      return spares_.made();
  }
}

void Monitor::onControl() {
  Arena* arena = takeArena();
  if (arena == nullptr) {
    // Back-pressure: all launches are in flight, the next message waits in the socket.
    unwatch(control_);
    control_paused_ = true;
    return;
  }
  MessageHeader header;
  u32 size = 0;
  const i32 error = receive(*arena, header, size);
  if (error == 0) return handle(arena, header, size);
  if (error > 0) refuse(header.id, error);
  giveArena(arena);
}

/** Node is gone, by whatever cause: kill everything, clean up, end. */
void Monitor::onOwnerGone() {
  if (owner_gone_) return;
  owner_gone_ = true;
  unwatch(lifeline_);
  if (!control_paused_) unwatch(control_);
  for (Container* c = containers_; c != nullptr;) {
    Container* next = c->next;
    if (mayHaveProcesses(*c)) killAll(c);
    c = next;
  }
  retryCleanups();
}

/** Only while no start is on its way: it would take its time from it. */
void Monitor::makeSpare() {
  const u64 due = spares_.dueAt();
  if (due == 0 || owner_gone_ || monotonicNs() < due) return;
  spares_.make(self_.get());
  if (spares_.maker() >= 0) watch(spares_.maker(), &spare_watch_);
}

int Monitor::nextTimeoutMs() const {
  const int look = launching_ > 0 ? kLookMs : -1;
  u64 first = launching_ == 0 && !owner_gone_ && spares_.dueAt() != 0 ? spares_.dueAt() : ~u64{0};
  if (retrying_ > 0)
    for (const Container* c = containers_; c != nullptr; c = c->next)
      if (c->retrying && c->retry_at_ns < first) first = c->retry_at_ns;
  if (first == ~u64{0}) return look;
  const u64 now = monotonicNs();
  const int wait = first <= now ? 0 : static_cast<int>((first - now) / 1'000'000 + 1);
  return look >= 0 && look < wait ? look : wait;
}

void Monitor::retryCleanups() {
  if (retrying_ == 0 && !owner_gone_) return;
  bool processes = false;
  for (Container* c = containers_; c != nullptr;) {
    Container* next = c->next;
    if (!c->is_hold) processes = true;
    if (c->retrying && c->retry_at_ns <= monotonicNs()) cleanup(c);
    c = next;
  }
  // What the process held as a whole goes last: the parents of the cgroups, the state directory.
  if (!owner_gone_ || processes) return;
  for (Container* c = containers_; c != nullptr;) {
    Container* next = c->next;
    if (c->state == State::held) {
      c->started = true;
      c->state = State::cleaning;
      cleanup(c);
    }
    c = next;
  }
}

}  // namespace ctr
