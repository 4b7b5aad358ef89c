// Deletes a tree that a container wrote, so its names, depth and modes are hostile. Constant memory and no
// recursion: a directory that is not empty is moved up to the top under a counted name and emptied there
// later. Symbolic links are never followed, mounts never crossed (openat2(2), RESOLVE_NO_XDEV).
#include <asm/statfs.h>

#include "steps.h"

namespace ctr {
namespace {

constexpr u32 kGroupTries = 100;  // of a millisecond each
constexpr u8 kTypeDirectory = 4;  // DT_DIR, readdir(3)

struct Dirent {  // linux_dirent64, getdents64(2)
  u64 inode;
  i64 offset;
  u16 length;
  u8 type;
  char name[];
};

bool isDots(const char* n) { return n[0] == '.' && (n[1] == 0 || (n[1] == '.' && n[2] == 0)); }

/** A directory of our own without permissions, such as overlayfs' work/work: makes it passable. Links are not followed. */
i64 makePassable(int at, const char* name) {
  constexpr i64 kFchmodat2 = 452;  // since Linux 6.6; before, chmod knows no AT_SYMLINK_NOFOLLOW
  const i64 r = syscall6(kFchmodat2, at, ptr(name), 0700, AT_SYMLINK_NOFOLLOW);
  return r == -kENOSYS ? syscall6(__NR_fchmodat, at, ptr(name), 0700) : r;
}

i64 openDirectory(int at, const char* name) {
  struct open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  // The path of the whole tree is ours; what is in it may not lead anywhere.
  if (at != AT_FDCWD) how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  const auto open = [&] { return retry([&] { return syscall6(__NR_openat2, at, ptr(name), ptr(&how), sizeof how); }); };
  const i64 fd = open();
  return fd == -kEACCES && makePassable(at, name) == 0 ? open() : fd;
}

/** "<number>" in a form that an image can hardly hold; a clash only costs another round. */
void countedName(u64 n, char* out) {
  const char prefix[] = ".ctr-trash-";
  u32 i = 0;
  for (; prefix[i] != 0; i++) out[i] = prefix[i];
  for (u32 shift = 64; shift > 0; shift -= 4) out[i++] = "0123456789abcdef"[(n >> (shift - 4)) & 15];
  out[i] = 0;
}

class Sweeper {
 public:
  explicit Sweeper(int top) : top_(top) {}

  /** The first failure of the last round, negative; 0: none. */
  i64 error() const { return error_; }

  /** Empties the top directory as far as it can; returns how many entries went or moved. */
  i64 round() {
    error_ = 0;
    syscall6(__NR_lseek, top_, 0, 0);
    return sweep(top_);
  }

 private:
  /** Sub-directories that are not empty move to the top. One entry that will not go does not keep the others. */
  i64 sweep(int dir) {
    i64 gone = 0;
    alignas(8) char buffer[8192];
    for (;;) {
      const i64 n = retry([&] { return syscall6(__NR_getdents64, dir, ptr(buffer), sizeof buffer); });
      if (n <= 0) return note(n), gone;
      for (i64 at = 0; at < n;) {
        const auto* entry = reinterpret_cast<const Dirent*>(buffer + at);
        at += entry->length;
        if (isDots(entry->name)) continue;
        i64 r = removeEntry(dir, entry->name);
        // It may be the directory that does not let its entries go.
        if (r == -kEACCES && syscall6(__NR_fchmod, dir, 0700) == 0) r = removeEntry(dir, entry->name);
        if (r > 0) gone += r;
        note(r);
      }
    }
  }

  void note(i64 result) {
    if (result < 0 && result != -kENOENT && error_ == 0) error_ = result;
  }

  /** How many entries went or moved, or what failed. */
  i64 removeEntry(int dir, const char* name) {
    const i64 r = syscall6(__NR_unlinkat, dir, ptr(name), 0);
    if (r != -kEISDIR && r != -kEPERM) return r < 0 ? r : 1;
    const i64 d = syscall6(__NR_unlinkat, dir, ptr(name), AT_REMOVEDIR);
    if (d == -kENOTDIR) return r;
    if (d != -kENOTEMPTY) return d < 0 ? d : 1;
    return dir == top_ ? emptyOut(name) : moveToTop(dir, name);
  }

  i64 emptyOut(const char* name) {
    const OwnedFd child{openDirectory(top_, name)};
    if (!child.valid()) return child.get();
    const i64 swept = sweep(child.get());
    const i64 r = syscall6(__NR_unlinkat, top_, ptr(name), AT_REMOVEDIR);
    return r == 0 ? swept + 1 : r == -kENOTEMPTY ? swept : r;
  }

  /** On a full disk there may be no place for one more name: what else goes in this round makes some. */
  i64 moveToTop(int dir, const char* name) {
    constexpr u64 kNoReplace = 1;
    char flat[40];
    i64 r;
    do {
      countedName(next_++, flat);
      const auto move = [&] { return syscall6(__NR_renameat2, dir, ptr(name), top_, ptr(flat), kNoReplace); };
      r = move();
      // Moving a directory rewrites its "..", for which it must be writable.
      if (r == -kEACCES && makePassable(dir, name) == 0) r = move();
    } while (r == -kEEXIST);
    return r < 0 ? r : 1;
  }

  int top_;
  u64 next_ = 0;
  i64 error_ = 0;
};

/** Removes the child groups of `dir` that let go. Returns how many there were; `busy` is one that has children or processes. */
i64 removeChildGroups(int dir, char (&busy)[256]) {
  busy[0] = 0;
  i64 seen = 0;
  syscall6(__NR_lseek, dir, 0, 0);
  alignas(8) char buffer[8192];
  for (;;) {
    const i64 n = retry([&] { return syscall6(__NR_getdents64, dir, ptr(buffer), sizeof buffer); });
    if (n <= 0) return n < 0 ? n : seen;
    for (i64 at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const Dirent*>(buffer + at);
      at += entry->length;
      if (entry->type != kTypeDirectory || isDots(entry->name)) continue;
      seen++;
      const i64 r = syscall6(__NR_unlinkat, dir, ptr(entry->name), AT_REMOVEDIR);
      if (r == -kEBUSY)
        for (u32 i = 0; i + 1 < sizeof busy && (busy[i] = entry->name[i]) != 0; i++) busy[i + 1] = 0;
      else if (r < 0 && r != -kENOENT)
        return r;
    }
  }
}

/**
 * Removes all groups below a control group: who was given it may have nested them to any depth. The files of a group cannot be unlinked,
 * a group cannot be moved, and rmdir(2) says EBUSY of one with children (cgroup-v2.rst): so down to an innermost one, and again from the top.
 */
i64 removeGroupsBelow(int top) {
  OwnedFd inner;
  for (int dir = top;;) {
    char busy[256];
    const i64 seen = removeChildGroups(dir, busy);
    if (seen < 0) return seen;
    // Busy without children: it is processes that are in it.
    if (seen == 0) return dir == top ? 0 : -kEBUSY;
    if (busy[0] == 0) {
      if (dir == top) return 0;
      dir = top;
      continue;
    }
    const i64 child = openDirectory(dir, busy);
    if (child == -kENOENT) continue;
    if (child < 0) return child;
    inner.reset(static_cast<int>(child));
    dir = inner.get();
  }
}

bool isCgroup(int fd) {
  struct statfs s;
  constexpr u64 kCgroup1 = 0x27e0eb;  // linux/magic.h
  constexpr u64 kCgroup2 = 0x63677270;
  if (syscall6(__NR_fstatfs, fd, ptr(&s)) != 0) return false;
  const u64 type = static_cast<u64>(s.f_type);
  return type == kCgroup1 || type == kCgroup2;
}

}  // namespace

i64 removeTree(const char* path) {
  const OwnedFd top{openDirectory(AT_FDCWD, path)};
  if (!top.valid()) return top.get() == -kENOENT ? 0 : top.get();
  const auto removeTop = [&] { return syscall6(__NR_unlinkat, static_cast<u64>(AT_FDCWD), ptr(path), AT_REMOVEDIR); };
  if (isCgroup(top.get())) {
    // Processes that are just dying keep a group busy for a moment.
    for (u32 tries = 0;; tries++) {
      i64 r = removeGroupsBelow(top.get());
      if (r == 0) r = removeTop();
      if (r != -kEBUSY || tries == kGroupTries) return r == -kENOENT ? 0 : r;
      const __kernel_timespec millisecond = {0, 1'000'000};
      syscall6(__NR_nanosleep, ptr(&millisecond), 0);
    }
  }
  Sweeper sweeper{top.get()};
  while (sweeper.round() > 0) {
  }
  const i64 r = removeTop();
  if (r == -kENOTEMPTY && sweeper.error() != 0) return sweeper.error();
  return r == -kENOENT ? 0 : r;
}

}  // namespace ctr
