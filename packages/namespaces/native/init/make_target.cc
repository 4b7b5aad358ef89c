// Finds the place that something is to be mounted on, and makes what is missing of it: mkdir -p that follows symbolic
// links to their end, also those that lead to nothing yet. It begins at / of this process, the container's own after
// pivot_root, so that no link and no ".." leads out; magic links of /proc are read as the text that they show.
#include "steps.h"

namespace ctr {
namespace {

constexpr u32 kPathMax = 4096;
constexpr int kMaxLinks = 40;  // as the kernel has it: MAXSYMLINKS
constexpr u32 kTypeMask = 0170000, kDirectory = 0040000, kRegular = 0100000;
constexpr i64 kEXDEV = 18, kELOOP = 40, kENAMETOOLONG = 36;
constexpr u64 kProcMagic = 0x9fa0, kSysfsMagic = 0x62656572;  // statfs(2)

OwnedFd openRoot() {
  return OwnedFd{syscall6(__NR_openat, static_cast<u64>(AT_FDCWD), ptr("/"), O_PATH | O_DIRECTORY | O_CLOEXEC)};
}

i64 openEntry(int at, const char* name) {
  return retry([&] { return syscall6(__NR_openat, static_cast<u64>(at), ptr(name), O_PATH | O_NOFOLLOW | O_CLOEXEC); });
}

/** Whether the mount is a file, and so wants a file to be put on. */
i64 isFile(int mount) {
  struct statx s;
  const i64 r = syscall6(__NR_statx, static_cast<u64>(mount), ptr(""), AT_EMPTY_PATH, STATX_TYPE, ptr(&s));
  return r < 0 ? r : (s.stx_mode & kTypeMask) != kDirectory;
}

i64 makeEntry(int at, const char* name, bool file) {
  const i64 r = file ? syscall6(__NR_mknodat, static_cast<u64>(at), ptr(name), kRegular | 0644, 0)
                     : syscall6(__NR_mkdirat, static_cast<u64>(at), ptr(name), 0755);
  return r == -kEEXIST ? 0 : r;
}

/**
 * Whether a file belongs to procfs or sysfs: a link of an image must put no mount over what masks and writes rely on, and
 * /proc and /sys themselves nowhere else (CVE-2026-41579). */
bool showsKernel(int fd) {
  u64 facts[16] = {};  // struct statfs: f_type comes first
  return syscall6(__NR_fstatfs, static_cast<u64>(fd), ptr(facts)) == 0 && (facts[0] == kProcMagic || facts[0] == kSysfsMagic);
}

struct Walk {
  OwnedFd at;
  char rest[kPathMax];
  int links = 0;

  /** Puts a link's text before what is left of the path. */
  i64 follow(const char* target, u64 size, u64 from) {
    if (++links > kMaxLinks) return -kELOOP;
    const u64 left = __builtin_strlen(rest + from);
    if (size + 1 + left + 1 > kPathMax) return -kENAMETOOLONG;
    for (u64 i = left + 1; i > 0; i--) scratch[i - 1] = rest[from + i - 1];
    __builtin_memcpy(rest, target, size);
    rest[size] = '/';
    __builtin_memcpy(rest + size + 1, scratch, left + 1);
    if (target[0] == '/') at = openRoot();
    return at.valid() ? 0 : at.get();
  }

  char scratch[kPathMax];
};

/** The next part of the path into `name`; how far it reaches, 0 when there is none. */
u64 nextPart(const char* rest, char* name, u64 most, bool& last) {
  u64 at = 0, n = 0;
  while (rest[at] == '/') at++;
  while (rest[at] != 0 && rest[at] != '/' && n + 1 < most) name[n++] = rest[at++];
  name[n] = 0;
  u64 behind = at;
  while (rest[behind] == '/') behind++;
  last = rest[behind] == 0;
  return n == 0 ? 0 : at;
}

}  // namespace

i64 makeTarget(int mount, const char* path) {
  const i64 file = mount < 0 ? 0 : isFile(mount);
  if (file < 0) return file;
  const u64 size = __builtin_strlen(path);
  if (size >= kPathMax) return -kENAMETOOLONG;
  Walk walk;
  __builtin_memcpy(walk.rest, path, size + 1);
  walk.at = openRoot();
  char name[258], target[kPathMax];
  for (;;) {
    if (!walk.at.valid()) return walk.at.get();
    bool last = false;
    const u64 reach = nextPart(walk.rest, name, sizeof name, last);
    if (reach == 0) {
      const bool misled = walk.links > 0 && (showsKernel(walk.at.get()) || (mount >= 0 && showsKernel(mount)));
      return misled ? -kEXDEV : walk.at.release();
    }
    i64 entry = openEntry(walk.at.get(), name);
    if (entry == -kENOENT) {
      if (const i64 r = makeEntry(walk.at.get(), name, last && file != 0); r < 0) return r;
      entry = openEntry(walk.at.get(), name);
    }
    if (entry < 0) return entry;
    OwnedFd next{entry};
    const i64 n = syscall6(__NR_readlinkat, static_cast<u64>(next.get()), ptr(""), ptr(target), sizeof target - 1);
    if (n > 0) {
      if (const i64 r = walk.follow(target, static_cast<u64>(n), reach); r < 0) return r;
      continue;
    }
    walk.at = static_cast<OwnedFd&&>(next);
    __builtin_memcpy(walk.scratch, walk.rest + reach, __builtin_strlen(walk.rest + reach) + 1);
    __builtin_memcpy(walk.rest, walk.scratch, __builtin_strlen(walk.scratch) + 1);
  }
}

}  // namespace ctr
