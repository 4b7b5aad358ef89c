// The few system calls that have no wrapper in the C library of our floor (glibc 2.28), and facts about an inode.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <string>

#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {

/** struct open_how of <linux/openat2.h>, which a kernel header package older than 5.6 lacks. */
struct OpenHow {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};

inline constexpr long kSysOpenat2 = 437;
inline constexpr uint64_t kNoXdev = 0x01;
inline constexpr uint64_t kNoMagicLinks = 0x02;
inline constexpr uint64_t kNoSymlinks = 0x04;
inline constexpr uint64_t kInRoot = 0x10;

/**
 * openat2(2), always close-on-exec. EAGAIN means that something was renamed or mounted meanwhile and the kernel
 * could not rule out an escape: it is repeated a bounded number of times, so that a hostile renamer cannot hold us.
 */
inline int openat2(int dirfd, const char* path, uint64_t flags, uint64_t resolve) {
  OpenHow how{flags | O_CLOEXEC, 0, resolve};
  int races = 1000;
  long fd;
  do {
    fd = ::syscall(kSysOpenat2, dirfd, path, &how, sizeof how);
  } while (fd < 0 && (errno == EINTR || (errno == EAGAIN && --races > 0)));
  return static_cast<int>(fd);
}

/** What we compare of an inode. */
struct Facts {
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t inode = 0;
  uint64_t device = 0;
  uint64_t rdev = 0;
  uint64_t size = 0;

  bool isDirectory() const { return S_ISDIR(mode); }
  bool isRegular() const { return S_ISREG(mode); }
  bool isSymlink() const { return S_ISLNK(mode); }
  bool isWhiteout() const { return S_ISCHR(mode) && rdev == 0; }
  bool sameInode(const Facts& other) const { return inode == other.inode && device == other.device; }
};

/** statx(2) of `name` in `dirfd`, never following a link; an empty name means `dirfd` itself. -1 and errno on failure. */
inline int statAt(int dirfd, const char* name, Facts& out) {
  struct statx s;
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | (*name == '\0' ? AT_EMPTY_PATH : 0);
  if (::syscall(SYS_statx, dirfd, name, flags, STATX_BASIC_STATS, &s) < 0) return -1;
  out = Facts{s.stx_mode, s.stx_uid, s.stx_gid, s.stx_ino, makedev(s.stx_dev_major, s.stx_dev_minor), makedev(s.stx_rdev_major, s.stx_rdev_minor), s.stx_size};
  return 0;
}

inline Facts factsOf(int fd, const std::string& path) {
  Facts facts;
  check(statAt(fd, "", facts), "statx", path);
  return facts;
}

/** chmod of an inode that is only held by O_PATH: fchmod refuses such a descriptor, and fchmodat would go by name again. */
inline int chmodHeld(int path_fd, mode_t mode) {
  const std::string self = "/proc/self/fd/" + std::to_string(path_fd);
  return ::chmod(self.c_str(), mode);
}

}  // namespace ctr
