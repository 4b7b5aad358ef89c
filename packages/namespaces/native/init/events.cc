// Messages to Node. A failed send means that Node is gone: the lifeline says so too, and nobody is left to tell.
// While Node lives a full socket is waited for: nothing may be left out. Node never waits for us, so this cannot lock.
#include "monitor.h"

namespace ctr {

EventHeader Monitor::event(EventKind kind, const Container& c) const {
  EventHeader e = {};
  e.kind = static_cast<u32>(kind);
  e.id = c.id;
  return e;
}

void Monitor::sendEvent(EventHeader& event, int fd, const void* payload, u32 size) {
  event.monotonic_ns = monotonicNs();
  IoVec iov[2] = {{&event, sizeof event}, {const_cast<void*>(payload), size}};
  struct {
    CmsgHdr header;
    i32 fd;
    i32 pad;
  } control = {{sizeof(CmsgHdr) + sizeof(int), kSolSocket, kScmRights}, fd, 0};
  MsgHdr message = {nullptr, 0, iov, size > 0 ? 2u : 1u, fd >= 0 ? &control : nullptr, fd >= 0 ? sizeof control : 0, 0};
  // It closed the lifeline on purpose and still listens, or it is dead and somebody else holds its socket.
  const u32 flags = kMsgNoSignal | (owner_gone_ ? kMsgDontWait : 0);
  retry([&] { return syscall6(__NR_sendmsg, static_cast<u64>(control_), ptr(&message), flags); });
}

/** Appends {u32 step, u32 size, bytes padded to 8} of one file: what a cgroup says after the death. */
void Monitor::appendFile(void* self, u32 step, const char* path) {
  auto& m = *static_cast<Monitor*>(self);
  constexpr u32 kMost = 4096;
  if (m.payload_size_ + 8 + kMost > sizeof m.payload_) return;
  const OwnedFd fd{syscall6(__NR_openat, static_cast<u64>(AT_FDCWD), ptr(path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)};
  if (!fd.valid()) return;
  u8* at = m.payload_ + m.payload_size_;
  const i64 n = retry([&] { return syscall6(__NR_read, static_cast<u64>(fd.get()), ptr(at + 8), kMost); });
  if (n < 0) return;
  const u32 size = static_cast<u32>(n);
  __builtin_memcpy(at, &step, 4);
  __builtin_memcpy(at + 4, &size, 4);
  m.payload_size_ += 8 + ((size + 7) & ~7u);
}

void Monitor::collect(const Container& c) {
  payload_size_ = 0;
  Slots slots;
  slots.clear();
  runStage(c.after, after_stage::collect, {&slots, self_.get(), appendFile, this});
  slots.closeAll();
}

}  // namespace ctr
