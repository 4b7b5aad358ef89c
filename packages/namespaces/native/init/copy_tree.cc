// Copies what is in one directory into another, by descriptors and without following links: for a tmpfs that begins
// with what the image has in its place (tmpcopyup). Extended attributes are left out.
#include "steps.h"

namespace ctr {
namespace {

constexpr int kMaxDepth = 24;  // each level takes less than 2 KiB of the stack of 64
constexpr u32 kTypeMask = 0170000, kDirectory = 0040000, kRegular = 0100000, kLink = 0120000;
constexpr i64 kENAMETOOLONG = 36, kEXDEV = 18;
constexpr u64 kChunk = 16 * 1024 * 1024;

struct Entry {  // struct linux_dirent64
  u64 inode;
  i64 offset;
  u16 size;
  u8 type;
  char name[];
};

i64 open(int at, const char* name, u64 flags, u64 mode = 0) {
  return retry([&] { return syscall6(__NR_openat, static_cast<u64>(at), ptr(name), flags | O_CLOEXEC | O_NOFOLLOW, mode); });
}

i64 look(int at, const char* name, struct statx& s) {
  return syscall6(__NR_statx, static_cast<u64>(at), ptr(name), AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_BASIC_STATS, ptr(&s));
}

/** Owner, then mode, which a change of the owner may cut, then times. */
i64 describe(int at, const char* name, const struct statx& s) {
  const u64 fd = static_cast<u64>(at);
  i64 r = syscall6(__NR_fchownat, fd, ptr(name), s.stx_uid, s.stx_gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH);
  if (r < 0) return r;
  if ((s.stx_mode & kTypeMask) == kLink) return 0;
  r = syscall6(__NR_fchmodat, fd, ptr(name), s.stx_mode & 07777);
  if (r < 0) return r;
  const i64 times[4] = {s.stx_atime.tv_sec, s.stx_atime.tv_nsec, s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec};
  return syscall6(__NR_utimensat, fd, ptr(name), ptr(times), AT_SYMLINK_NOFOLLOW);
}

i64 copyFile(int from, int to, const char* name) {
  const OwnedFd source{open(from, name, O_RDONLY | O_NONBLOCK)};
  if (!source.valid()) return source.get();
  const OwnedFd target{open(to, name, O_WRONLY | O_CREAT | O_EXCL, 0600)};
  if (!target.valid()) return target.get();
  bool range = true;
  for (;;) {
    const u64 a = static_cast<u64>(source.get()), b = static_cast<u64>(target.get());
    const i64 n = range ? syscall6(__NR_copy_file_range, a, 0, b, 0, kChunk, 0) : syscall6(__NR_sendfile, b, a, 0, kChunk);
    if (n == 0 && range) range = false;  // some file systems say nothing instead of no
    else if (n == 0) return 0;
    else if (range && (n == -kEXDEV || n == -kEINVAL || n == -kENOSYS || n == -95 /* EOPNOTSUPP */)) range = false;
    else if (n < 0 && n != -kEINTR) return n;
  }
}

i64 copyLink(int from, int to, const char* name) {
  char target[1024];
  const i64 n = syscall6(__NR_readlinkat, static_cast<u64>(from), ptr(name), ptr(target), sizeof target);
  if (n < 0) return n;
  if (n == static_cast<i64>(sizeof target)) return -kENAMETOOLONG;
  target[n] = 0;
  return syscall6(__NR_symlinkat, ptr(target), static_cast<u64>(to), ptr(name));
}

i64 copyEntries(int from, int to, int depth);

i64 copyDirectory(int from, int to, const char* name, int depth) {
  if (depth >= kMaxDepth) return -kENAMETOOLONG;
  i64 r = syscall6(__NR_mkdirat, static_cast<u64>(to), ptr(name), 0700);
  if (r < 0) return r;
  const OwnedFd source{open(from, name, O_RDONLY | O_DIRECTORY)};
  if (!source.valid()) return source.get();
  const OwnedFd target{open(to, name, O_RDONLY | O_DIRECTORY)};
  if (!target.valid()) return target.get();
  return copyEntries(source.get(), target.get(), depth + 1);
}

i64 copyEntry(int from, int to, const char* name, int depth) {
  struct statx s;
  i64 r = look(from, name, s);
  if (r < 0) return r;
  switch (s.stx_mode & kTypeMask) {
    case kDirectory:
      r = copyDirectory(from, to, name, depth);
      break;
    case kRegular:
      r = copyFile(from, to, name);
      break;
    case kLink:
      r = copyLink(from, to, name);
      break;
    default: {
      const u64 device = (s.stx_rdev_minor & 0xff) | (s.stx_rdev_major << 8) | ((s.stx_rdev_minor & ~0xffu) << 12);
      r = syscall6(__NR_mknodat, static_cast<u64>(to), ptr(name), s.stx_mode, device);
    }
  }
  return r < 0 ? r : describe(to, name, s);
}

i64 copyEntries(int from, int to, int depth) {
  alignas(8) u8 buffer[1024];
  for (;;) {
    const i64 n = syscall6(__NR_getdents64, static_cast<u64>(from), ptr(buffer), sizeof buffer);
    if (n <= 0) return n;
    for (i64 at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const Entry*>(buffer + at);
      at += entry->size;
      const char* name = entry->name;
      if (name[0] == '.' && (name[1] == 0 || (name[1] == '.' && name[2] == 0))) continue;
      if (const i64 r = copyEntry(from, to, name, depth); r < 0) return r;
    }
  }
}

}  // namespace

i64 copyTree(int from, int to, bool with_mode) {
  struct statx s;
  i64 r = look(from, "", s);
  if (r >= 0) r = copyEntries(from, to, 0);
  // By a name, since the descriptor of a mount takes no fchmod (O_PATH).
  return r < 0 || !with_mode ? r : describe(to, ".", s);
}

}  // namespace ctr
