// See message.h.
#include "message.h"

namespace ctr {
namespace {

/** The descriptors that came along, owned until they have a slot. */
struct ReceivedFds {
  int fd[kMaxFds];
  u32 count = 0;

  explicit ReceivedFds(const MsgHdr& message) {
    const auto* control = static_cast<const u8*>(message.control);
    if (message.control_length < sizeof(CmsgHdr)) return;
    const auto* header = reinterpret_cast<const CmsgHdr*>(control);
    if (header->level != kSolSocket || header->type != kScmRights) return;
    count = static_cast<u32>((header->length - sizeof(CmsgHdr)) / sizeof(int));  // the buffer holds kMaxFds at most
    __builtin_memcpy(fd, control + sizeof(CmsgHdr), count * sizeof(int));
  }
  ReceivedFds(const ReceivedFds&) = delete;
  ~ReceivedFds() {
    for (u32 i = 0; i < count; i++)
      if (fd[i] >= 0) syscall6(__NR_close, static_cast<u64>(fd[i]));
  }
  /** Into the slots that the header names; false when one is named twice or does not exist. */
  bool place(const MessageHeader& header, Slots& slots) {
    if (count != header.fd_count) return false;
    for (u32 i = 0; i < count; i++) {
      const u16 slot = header.fd_slots[i];
      if (slot >= kMaxSlots || slots.fd[slot] >= 0) return false;
      slots.fd[slot] = fd[i];
      fd[i] = -1;
    }
    return true;
  }
};

}  // namespace

i32 receiveMessage(int socket, u32 flags, Buffer buffer, Slots& slots, MessageHeader& header, u32& size) {
  alignas(8) u8 control[sizeof(CmsgHdr) + kMaxFds * sizeof(int)];
  IoVec iov = {buffer.bytes, buffer.size};
  MsgHdr message = {nullptr, 0, &iov, 1, control, sizeof control, 0};
  const i64 n = retry([&] { return syscall6(__NR_recvmsg, static_cast<u64>(socket), ptr(&message), kMsgCmsgCloexec | flags); });
  if (n == 0) return kEndOfFile;
  if (n < 0) return kNoMessage;
  ReceivedFds fds{message};
  if (n < static_cast<i64>(sizeof(MessageHeader))) return kNoMessage;
  __builtin_memcpy(&header, buffer.bytes, sizeof header);
  size = static_cast<u32>(n);
  if (header.magic != kMagic) return kNoMessage;
  if (message.flags & kMsgTrunc) return kEMSGSIZE;
  // The kernel leaves out descriptors that this process may not have any more (unix(7), RLIMIT_NOFILE).
  if (message.flags & kMsgCtrunc) return kEMFILE;
  const auto slot = [](i32 number) { return number < static_cast<i32>(kMaxSlots); };
  const bool good = header.fd_count <= kMaxFds && slot(header.cgroup_slot) && slot(header.pid_slot) && fds.place(header, slots);
  return good ? 0 : kEINVAL;
}

}  // namespace ctr
