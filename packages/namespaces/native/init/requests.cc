// Messages from Node: receive, check, start.
#include "message.h"
#include "monitor.h"
#include "park.h"

namespace ctr {
namespace {

constexpr u64 kPrivate = 0x22, kShared = 0x21;  // MAP_ANONYMOUS too

u8* mapMemory(u64 size, u64 flags = kPrivate) {
  const i64 r = syscall6(__NR_mmap, 0, size, 3 /* READ|WRITE */, flags, static_cast<u64>(-1), 0);
  return r < 0 ? nullptr : reinterpret_cast<u8*>(r);
}

void* copy(void* to, const void* from, u64 size) { return __builtin_memcpy(to, from, size); }

/** They run while a child that may share our memory runs its own: none may change data, and no process in between may take their place at the gate. */
bool validBeside(const Program& program) {
  const u32 count = program.counts[launch_stage::beside];
  if (count > 0 && program.counts[launch_stage::enter] > 0) return false;
  for (u32 i = 0; i < count; i++)
    if (program.steps[launch_stage::beside][i].patch_count > 0) return false;
  return true;
}

/** The user namespace that a removal of the clean-up names came for the start alone: one copy of it stays for the end. */
i32 keepAround(Container& c, const Slots& slots) {
  constexpr u64 kDuplicateCloexec = 1030;  // F_DUPFD_CLOEXEC
  for (u32 i = 0; i < c.after.counts[after_stage::cleanup]; i++) {
    const WireStep& step = c.after.steps[after_stage::cleanup][i];
    if (!removesWithin(step) || c.around.valid()) continue;
    const i64 r = syscall6(__NR_fcntl, static_cast<u64>(slots.fd[step.args[1]]), kDuplicateCloexec, 0);
    if (r < 0) return static_cast<i32>(-r);
    c.around.reset(static_cast<int>(r));
  }
  return 0;
}

constexpr u64 kLockUn = 8;
constexpr u64 kMaxPrograms = 64 * 1024 * 1024;

}  // namespace

Arena* Monitor::takeArena() {
  if (Arena* arena = free_arenas_; arena != nullptr) {
    free_arenas_ = arena->next_free;
    return arena;
  }
  // Pages are touched, and so exist, only as far as a launch needs them. Zero at first: no `large`.
  alignas(4096) static u8 memory[Arenas::kCount][Arenas::kSize];
  if (arenas_.made == Arenas::kCount) return nullptr;
  arenas_.memory = memory[0];
  Arena* arena = arenas_.at(arenas_.made);
  arena->note = arena->own_note = &notes_[arenas_.made++];
  arena->slots.clear();
  return arena;
}

void Monitor::giveArena(Arena* arena) {
  arena->slots.closeAll();
  if (arena->large != nullptr) syscall6(__NR_munmap, ptr(arena->large), arena->large_size);
  arena->large = nullptr;
  arena->note = arena->own_note;
  arena->next_free = free_arenas_;
  free_arenas_ = arena;
  if (control_paused_ && !owner_gone_) {
    control_paused_ = false;
    watch(control_, &control_watch_);
  }
}

Container* Monitor::newContainer(u32 id, u32 after_size) {
  const u64 size = (sizeof(Container) + after_size + 4095) & ~u64{4095};
  auto* c = reinterpret_cast<Container*>(mapMemory(size));
  if (c == nullptr) return nullptr;
  // Fresh memory is zero: only what is not zero by nature is set.
  c->mapped_size = size;
  c->id = id;
  for (OwnedFd* fd : {&c->pidfd, &c->report, &c->helper, &c->enter_pidfd, &c->around}) fd->release();
  c->failure = Failure{};
  c->report_watch = {Watch::Kind::report, c};
  c->process_watch = {Watch::Kind::process, c};
  c->helper_watch = {Watch::Kind::helper, c};
  c->next = containers_;
  if (c->next != nullptr) c->next->previous = c;
  containers_ = c;
  return c;
}

void Monitor::freeContainer(Container* c) {
  (c->previous != nullptr ? c->previous->next : containers_) = c->next;
  if (c->next != nullptr) c->next->previous = c->previous;
  if (c->held_slots != nullptr) {
    // A child on its way to exec may have a copy for a moment: so the lock itself is let go (flock(2)).
    for (const int fd : c->held_slots->fd)
      if (fd >= 0) syscall6(__NR_flock, static_cast<u64>(fd), kLockUn);
    c->held_slots->closeAll();
    syscall6(__NR_munmap, ptr(c->held_slots), sizeof(Slots));
  }
  for (OwnedFd* fd : {&c->pidfd, &c->report, &c->helper, &c->enter_pidfd, &c->around}) fd->reset();
  if (c->parks) syscall6(__NR_munmap, ptr(c->note), sizeof(ChildNote));
  syscall6(__NR_munmap, ptr(c), c->mapped_size);
}

/** 0: a message for handle(); above 0: what is wrong with it, to be told; below: there is none. */
i32 Monitor::receive(Arena& arena, MessageHeader& header, u32& size) {
  const i32 error = receiveMessage(control_, kMsgDontWait, {arena.message, kMessageSize}, arena.slots, header, size);
  if (error == kEndOfFile) onOwnerGone();
  return error;
}

i32 Monitor::decodeMessage(Arena& arena, const MessageHeader& header, u32 size, Container*& container) {
  u8* bytes = arena.message + sizeof(MessageHeader);
  u64 available = size - sizeof(MessageHeader);
  const u64 needed = u64{header.launch_size} + header.after_size;
  if (header.flags & kFromMemfd) {
    if (header.fd_count == 0 || needed == 0 || needed > kMaxPrograms) return kEINVAL;
    int& slot = arena.slots.fd[header.fd_slots[header.fd_count - 1]];
    const OwnedFd memfd{slot};
    slot = -1;
    // Behind its end there are no pages, only SIGBUS.
    if (syscall6(__NR_lseek, static_cast<u64>(memfd.get()), 0, 2 /* SEEK_END */) < static_cast<i64>(needed)) return kEINVAL;
    const i64 r = syscall6(__NR_mmap, 0, needed, 3, 2 /* PRIVATE */, static_cast<u64>(memfd.get()), 0);
    if (r < 0) return static_cast<i32>(-r);
    arena.large = bytes = reinterpret_cast<u8*>(r);
    arena.large_size = available = needed;
  }
  if (needed > available || header.launch_size % 8 != 0 || !decodeProgram(bytes, header.launch_size, arena.program)) return kEINVAL;
  const bool maps = (header.flags & kWriteMaps) != 0;
  if (maps && (header.uid_map >= arena.program.data_size || header.gid_map >= arena.program.data_size)) return kEINVAL;
  if (!validBeside(arena.program)) return kEINVAL;
  // A child in our memory could not wait: it is the monitor's for as long.
  const bool parks = (header.flags & kParks) != 0;
  if (parks && ((header.flags & kShareMemory) || static_cast<MessageKind>(header.kind) != MessageKind::launch)) return kEINVAL;
  container = newContainer(header.id, header.after_size);
  if (container == nullptr) return kENOMEM;
  container->spare_key = header.spare_key;
  container->after_size = header.after_size;
  auto* after = reinterpret_cast<u8*>(container) + sizeof(Container);
  copy(after, bytes + header.launch_size, header.after_size);
  i32 error = decodeProgram(after, header.after_size, container->after) ? keepAround(*container, arena.slots) : kEINVAL;
  if (error == 0 && parks) {
    // For longer than the arena is this launch's.
    auto* note = reinterpret_cast<ChildNote*>(mapMemory(sizeof(ChildNote), kShared));
    if (note == nullptr) error = kENOMEM;
    container->parks = note != nullptr;
    if (note != nullptr) arena.note = note;
  }
  container->note = arena.note;
  if (error != 0) freeContainer(container);
  return error;
}

/** What could not be taken as a plan: nothing was done. */
void Monitor::refuse(u32 id, i32 error) {
  EventHeader e = {};
  e.kind = static_cast<u32>(EventKind::failed);
  e.id = id;
  e.a = static_cast<i32>(Stage::decode);
  e.c = error;
  sendEvent(e, -1, nullptr, 0);
}

void Monitor::handle(Arena* arena, const MessageHeader& header, u32 size) {
  const auto kind = static_cast<MessageKind>(header.kind);
  newest_id_ = header.id;
  if (takeBack(header.id)) {
    refuse(header.id, kECANCELED);
    return giveArena(arena);
  }
  Container* c = nullptr;
  if (const i32 error = kind != MessageKind::launch && kind != MessageKind::hold ? kEINVAL : decodeMessage(*arena, header, size, c); error != 0) {
    refuse(header.id, error);
    return giveArena(arena);
  }
  c->arena = arena;
  c->is_hold = kind == MessageKind::hold;
  const Failure f = prepare(*arena, header);
  if (f.failed()) return fail(c, Stage::prepare, f);
  if (c->is_hold) return startHold(arena, c);
  startProcess(arena, header, c);
}

/** The prepare stage; skipped where what it opens is still there. */
Failure Monitor::prepare(Arena& arena, const MessageHeader& header) {
  // A hold keeps all that it opens itself.
  const u32 key = static_cast<MessageKind>(header.kind) == MessageKind::launch ? header.keep_key : 0;
  if (kept_.lend(key, arena.slots)) return {};
  Slots before;
  if (key != 0) before = arena.slots;
  const Failure f = runStage(arena.program, launch_stage::prepare, {&arena.slots, self_.get(), nullptr, nullptr});
  if (f.failed() || key == 0) return f;
  // Only for one that has not ended: nobody would let go of it otherwise.
  for (const Container* c = containers_; c != nullptr; c = c->next)
    if (c->id == header.keep_of && c->state == State::running) {
      kept_.take(key, header.keep_of, before, arena.slots);
      break;
    }
  return f;
}

void Monitor::startProcess(Arena* arena, const MessageHeader& header, Container* c) {
  spares_.give(header.spare_key, arena->slots);
  // The child may change the slots as it runs in the same memory: ours are closed by this copy.
  Slots ours = arena->slots;
  kept_.leaveOut(header.keep_key, ours);
  LaunchResult r = launch({header, arena, self_.get(), arenas_}, ours);
  if (r.pid < 0) {
    arena->slots = ours;
    return fail(c, Stage::clone, r.failure);
  }
  ours.closeAll();
  // Its numbers in the arena are the child's now, not ours to close.
  c->state = State::launching;
  launching_++;
  c->own_pids = (header.clone_flags & CLONE_NEWPID) != 0;
  c->report = static_cast<OwnedFd&&>(r.report);
  watch(c->report.get(), &c->report_watch);
  if (r.in_between) {
    c->enter_pidfd = static_cast<OwnedFd&&>(r.pidfd);
  } else {
    c->pid = r.pid;
    c->pidfd = static_cast<OwnedFd&&>(r.pidfd);
    watch(c->pidfd.get(), &c->process_watch);
  }
  if (r.failure.failed()) {
    c->failure = r.failure;
    c->failure_stage = r.stage;
    killAll(c);
  }
}

void Monitor::startHold(Arena* arena, Container* c) {
  auto* slots = reinterpret_cast<Slots*>(mapMemory(sizeof(Slots)));
  if (slots == nullptr) return fail(c, Stage::prepare, {0, kENOMEM});
  *slots = arena->slots;
  arena->slots.clear();
  c->held_slots = slots;
  c->arena = nullptr;
  giveArena(arena);
  c->state = State::held;
  EventHeader e = event(EventKind::held, *c);
  sendEvent(e, -1, nullptr, 0);
}

void Monitor::release(u32 id) {
  for (Container* c = containers_; c != nullptr; c = c->next)
    if (c->id == id && c->state == State::held) {
      c->started = true;
      c->state = State::cleaning;
      return cleanup(c);
    }
}

/** For a start that was given up, and for a process whose pidfd did not arrive, since Node may have no more descriptors. */
void Monitor::kill(u32 id) {
  for (Container* c = containers_; c != nullptr; c = c->next) {
    if (c->id != id) continue;
    if (mayHaveProcesses(*c)) killAll(c);
    return;
  }
  if (id <= newest_id_) return;
  // Its plan is still on the way. When there is no room to remember it, it will start, and Node kills it then.
  if (given_up_count_ < kGivenUp) given_up_[given_up_count_++] = id;
}

/**
 * The program that Node sent to a parked process is wanted back. Told at once: a process that was frozen, and so takes nothing, cannot be ended
 * before it thaws. One that has taken it is on its way like any other, and from now on looked after as such.
 */
void Monitor::withdraw(u32 id) {
  for (Container* c = containers_; c != nullptr; c = c->next) {
    if (c->id != id || c->state != State::parked) continue;
    if (takeProgram(*c->note)) {
      EventHeader e = event(EventKind::withdrawn, *c);
      sendEvent(e, -1, nullptr, 0);
      return killAll(c);
    }
    c->state = State::launching;
    launching_++;
    return;
  }
}

/** Whether the plan that arrives now was given up before it did. */
bool Monitor::takeBack(u32 id) {
  for (u32 i = 0; i < given_up_count_; i++)
    if (given_up_[i] == id) {
      given_up_[i] = given_up_[--given_up_count_];
      return true;
    }
  return false;
}

void Monitor::onLifeline() {
  Order orders[64];
  const i64 n = retry([&] { return syscall6(__NR_read, static_cast<u64>(lifeline_), ptr(orders), sizeof orders); });
  if (n <= 0) return onOwnerGone();
  for (u64 i = 0; i < static_cast<u64>(n) / sizeof(Order); i++) {
    if (orders[i].kind == static_cast<u32>(OrderKind::release)) release(orders[i].id);
    if (orders[i].kind == static_cast<u32>(OrderKind::kill)) kill(orders[i].id);
    if (orders[i].kind == static_cast<u32>(OrderKind::withdraw)) withdraw(orders[i].id);
  }
}

}  // namespace ctr
