// The kernel, without a C library: raw system calls, the few structures they need, and an owning descriptor.
// Calls return the kernel's own value: negative is -errno. See syscalls(2) and syscall(2).
#pragma once
#include <asm/unistd.h>
#include <linux/close_range.h>
#include <linux/eventpoll.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/poll.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/wait.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

namespace ctr {

inline constexpr int kEPERM = 1, kENOENT = 2, kEINTR = 4, kEBADF = 9, kEAGAIN = 11, kENOMEM = 12, kEACCES = 13, kEBUSY = 16, kEEXIST = 17,
                     kENOTDIR = 20, kEISDIR = 21, kEINVAL = 22, kEMFILE = 24, kENOSYS = 38, kENOTEMPTY = 39, kEMSGSIZE = 90, kECANCELED = 125;

inline i64 syscall6(i64 nr, u64 a = 0, u64 b = 0, u64 c = 0, u64 d = 0, u64 e = 0, u64 f = 0) {
#if defined(__x86_64__)
  i64 r;
  register u64 r10 asm("r10") = d;
  register u64 r8 asm("r8") = e;
  register u64 r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(r) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return r;
#elif defined(__aarch64__)
  register u64 x8 asm("x8") = static_cast<u64>(nr);
  register u64 x0 asm("x0") = a;
  register u64 x1 asm("x1") = b;
  register u64 x2 asm("x2") = c;
  register u64 x3 asm("x3") = d;
  register u64 x4 asm("x4") = e;
  register u64 x5 asm("x5") = f;
  asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return static_cast<i64>(x0);
#else
#error "ctr-init knows x86-64 and arm64"
#endif
}

inline u64 ptr(const void* p) { return reinterpret_cast<u64>(p); }

/** Repeats a call that a signal interrupted; the only place where EINTR is looked at. */
template <typename F>
inline i64 retry(F call) {
  i64 r;
  do r = call();
  while (r == -kEINTR);
  return r;
}

// Structures of <sys/socket.h> and <signal.h>, in the kernel's layout for 64-bit systems.
struct IoVec {
  void* base;
  u64 length;
};
struct MsgHdr {
  void* name;
  u32 name_length;
  IoVec* iov;
  u64 iov_length;
  void* control;
  u64 control_length;
  u32 flags;
};
struct CmsgHdr {
  u64 length;
  i32 level;
  i32 type;
};
struct SigInfo {  // siginfo_t as waitid(2) fills it
  i32 signo, error, code, pad, pid, uid, status;
  u8 rest[100];
};
inline constexpr int kSolSocket = 1, kScmRights = 1;
inline constexpr u32 kMsgDontWait = 0x40, kMsgNoSignal = 0x4000, kMsgCmsgCloexec = 0x40000000, kMsgTrunc = 0x20, kMsgCtrunc = 0x8;
inline constexpr int kSigKill = 9, kSigChld = 17;
inline constexpr int kCldExited = 1, kCldKilled = 2;  // SigInfo.code

/** Owns a descriptor. Unset is -1 and never passed to a call. */
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(i64 fd) : fd_(static_cast<int>(fd)) {}
  OwnedFd(OwnedFd&& o) : fd_(o.release()) {}
  OwnedFd& operator=(OwnedFd&& o) {
    reset(o.release());
    return *this;
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  ~OwnedFd() { reset(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset(int fd = -1) {
    if (fd_ >= 0) syscall6(__NR_close, static_cast<u64>(fd_));
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

[[noreturn]] inline void exitNow(int code) {
  for (;;) syscall6(__NR_exit_group, static_cast<u64>(code));
}

}  // namespace ctr
