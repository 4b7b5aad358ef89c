// Deletes a tree that a container wrote, so its names, depth and modes are hostile. Constant memory and no
// recursion: a directory that is not empty is moved up to the top under a counted name and emptied there
// later. Symbolic links are never followed, mounts never crossed (openat2(2), RESOLVE_NO_XDEV).
#include "steps.h"

namespace ctr {
namespace {

struct Dirent {  // linux_dirent64, getdents64(2)
  u64 inode;
  i64 offset;
  u16 length;
  u8 type;
  char name[];
};

bool isDots(const char* n) { return n[0] == '.' && (n[1] == 0 || (n[1] == '.' && n[2] == 0)); }

i64 openDirectory(int at, const char* name) {
  struct open_how how = {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  i64 fd = retry([&] { return syscall6(__NR_openat2, at, ptr(name), ptr(&how), sizeof how); });
  if (fd == -kEACCES) {
    // A directory of our own without permissions, such as overlayfs' work/work.
    syscall6(__NR_fchmodat, at, ptr(name), 0700);
    fd = retry([&] { return syscall6(__NR_openat2, at, ptr(name), ptr(&how), sizeof how); });
  }
  return fd;
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

  /** Empties the directory `dir`; sub-directories that are not empty move to the top. Returns how many entries went. */
  i64 sweep(int dir) {
    i64 gone = 0;
    alignas(8) char buffer[8192];
    for (;;) {
      const i64 n = retry([&] { return syscall6(__NR_getdents64, dir, ptr(buffer), sizeof buffer); });
      if (n < 0) return n;
      if (n == 0) return gone;
      for (i64 at = 0; at < n;) {
        const auto* entry = reinterpret_cast<const Dirent*>(buffer + at);
        at += entry->length;
        if (isDots(entry->name)) continue;
        const i64 r = removeEntry(dir, entry->name);
        if (r < 0 && r != -kENOENT) return r;
        gone++;
      }
    }
  }

 private:
  i64 removeEntry(int dir, const char* name) {
    const i64 r = syscall6(__NR_unlinkat, dir, ptr(name), 0);
    if (r != -kEISDIR && r != -kEPERM) return r;
    const i64 d = syscall6(__NR_unlinkat, dir, ptr(name), AT_REMOVEDIR);
    if (d != -kENOTEMPTY) return d;
    if (dir != top_) {
      char flat[40];
      countedName(next_++, flat);
      i64 moved = syscall6(__NR_renameat2, dir, ptr(name), top_, ptr(flat), kRenameNoReplace);
      if (moved == -kEACCES) {
        // Moving a directory rewrites its "..", for which it must be writable.
        syscall6(__NR_fchmodat, dir, ptr(name), 0700);
        moved = syscall6(__NR_renameat2, dir, ptr(name), top_, ptr(flat), kRenameNoReplace);
      }
      return moved == -kEEXIST ? 0 : moved;
    }
    const i64 fd = openDirectory(dir, name);
    if (fd < 0) return fd;
    OwnedFd child{fd};
    const i64 swept = sweep(child.get());
    if (swept < 0) return swept;
    const i64 again = syscall6(__NR_unlinkat, dir, ptr(name), AT_REMOVEDIR);
    return again == -kENOTEMPTY ? 0 : again;
  }

  static constexpr u64 kRenameNoReplace = 1;
  int top_;
  u64 next_ = 0;
};

}  // namespace

i64 removeTree(const char* path) {
  const i64 fd = retry([&] { return syscall6(__NR_openat, AT_FDCWD, ptr(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); });
  if (fd == -kENOENT) return 0;
  if (fd < 0) return fd;
  OwnedFd top{fd};
  Sweeper sweeper{top.get()};
  for (;;) {
    const i64 gone = sweeper.sweep(top.get());
    if (gone < 0) return gone;
    if (gone == 0) break;
    syscall6(__NR_lseek, top.get(), 0, 0);
  }
  const i64 r = syscall6(__NR_unlinkat, static_cast<u64>(AT_FDCWD), ptr(path), AT_REMOVEDIR);
  return r == -kENOENT ? 0 : r;
}

}  // namespace ctr
