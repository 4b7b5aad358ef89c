// The walk holds only the current directory. It goes up by ".." and checks by inode that it came back to where it was:
// a tree that somebody moves meanwhile ends the walk instead of leading it out.
#include "remove_tree.h"

#include <dirent.h>

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "linux_dirent.h"
#include "sys.h"

namespace ctr {
namespace {

constexpr uint64_t kInside = kNoSymlinks | kNoXdev;

struct Level {
  Facts facts;                       // of the directory
  std::string name;                  // of the directory in its parent
  bool scanned = false;              // what is no directory was deleted
  std::vector<std::string> pending;  // subdirectories that are not empty
};

class Walk {
 public:
  Walk(int dirfd, const std::string& name, std::string label) : base_(dirfd), label_(std::move(label)) {
    push(name, enter(base_, name.c_str()));
  }

  void run() {
    while (!levels_.empty()) {
      Level& level = levels_.back();
      if (!level.scanned) scan(level);
      else if (!level.pending.empty()) descend(level);
      else ascend();
    }
  }

 private:
  /** Deletes what is no directory, and empty directories. */
  void scan(Level& level) {
    alignas(LinuxDirent) std::array<char, 32768> buffer;
    level.scanned = true;
    for (;;) {
      const long size = ::syscall(SYS_getdents64, fd_.get(), buffer.data(), buffer.size());
      if (size < 0) fail("getdents64");
      if (size == 0) return;
      for (long at = 0; at < size;) {
        const auto* entry = reinterpret_cast<const LinuxDirent*>(buffer.data() + at);
        at += entry->length;
        const bool self = std::strcmp(entry->name, ".") == 0 || std::strcmp(entry->name, "..") == 0;
        if (!self && !removeOne(entry->name)) level.pending.emplace_back(entry->name);
      }
    }
  }

  /** False when it is a directory that must be emptied first. */
  bool removeOne(const char* name) {
    if (::unlinkat(fd_.get(), name, 0) == 0 || errno == ENOENT) return true;
    if (errno != EISDIR) fail("unlinkat", name);
    return removeDirectory(name);
  }

  bool removeDirectory(const char* name) {
    if (::unlinkat(fd_.get(), name, AT_REMOVEDIR) == 0 || errno == ENOENT) return true;
    if (errno != ENOTEMPTY && errno != EEXIST) fail("unlinkat", name);
    return false;
  }

  void descend(Level& level) {
    std::string name = std::move(level.pending.back());
    level.pending.pop_back();
    push(name, enter(fd_.get(), name.c_str()));
  }

  void ascend() {
    const std::string name = std::move(levels_.back().name);
    levels_.pop_back();
    if (levels_.empty()) {
      fd_.reset();
      if (::unlinkat(base_, name.c_str(), AT_REMOVEDIR) < 0 && errno != ENOENT) check(-1, "unlinkat", label_);
      return;
    }
    UniqueFd up(openat2(fd_.get(), "..", O_RDONLY | O_DIRECTORY, kInside));
    if (!up.valid()) fail("openat2", "..");
    Facts facts;
    if (statAt(up.get(), "", facts) < 0) fail("statx", "..");
    if (!facts.sameInode(levels_.back().facts)) fail("openat2", "..", ESTALE);
    fd_ = std::move(up);
    if (removeDirectory(name.c_str())) return;
    // Somebody fills it while we empty it: again, but not for ever.
    if (++refilled_ > 100) fail("unlinkat", name.c_str(), ENOTEMPTY);
    levels_.back().pending.push_back(name);
  }

  void push(const std::string& name, UniqueFd fd) {
    Facts facts;
    if (statAt(fd.get(), "", facts) < 0) fail("statx", name.c_str());
    fd_ = std::move(fd);
    levels_.push_back({facts, name, false, {}});
  }

  /** Opens a directory for reading; gives its owner rwx when that is all that is missing. */
  UniqueFd enter(int dirfd, const char* name) {
    constexpr uint64_t flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    UniqueFd fd(openat2(dirfd, name, flags, kInside));
    if (!fd.valid() && errno != EACCES) fail("openat2", name);
    Facts facts;
    if (fd.valid() && statAt(fd.get(), "", facts) < 0) fail("statx", name);
    if (fd.valid() && (facts.mode & 0300) == 0300) return fd;
    // SECURITY: by the held inode, not by name, so that nothing else can get these permissions.
    UniqueFd held(openat2(dirfd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, kInside));
    if (!held.valid() || statAt(held.get(), "", facts) < 0) fail("openat2", name);
    if (chmodHeld(held.get(), (facts.mode & 07777) | 0700) < 0 && !fd.valid()) fail("chmod", name);
    if (!fd.valid()) fd.reset(openat2(dirfd, name, flags, kInside));
    if (!fd.valid()) fail("openat2", name);
    return fd;
  }

  /** Names the place; the text is made only now, since a tree of 100,000 levels has a very long one. */
  [[noreturn]] void fail(const char* call, const char* name = nullptr, int error = errno) const {
    std::string path = label_;
    for (size_t i = 1; i < levels_.size() && path.size() < 4096; i++) path += "/" + levels_[i].name;
    if (name != nullptr && !levels_.empty()) path += std::string("/") + name;
    throw SyscallFailure{error, call, std::move(path)};
  }

  int base_;
  std::string label_;
  UniqueFd fd_;
  std::vector<Level> levels_;
  int refilled_ = 0;
};

}  // namespace

void removeTreeAt(int dirfd, const std::string& name, const std::string& label) { Walk(dirfd, name, label).run(); }

void removeTree(const std::string& path) {
  std::string trimmed = path;
  while (trimmed.size() > 1 && trimmed.back() == '/') trimmed.pop_back();
  const size_t slash = trimmed.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : trimmed.substr(0, slash);
  const std::string name = slash == std::string::npos ? trimmed : trimmed.substr(slash + 1);
  // The way to the directory is the caller's own and may hold links; from here on nothing is followed.
  UniqueFd dir(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid() && errno == ENOENT) return;
  check(dir.valid() ? 0 : -1, "open", parent);
  Facts facts;
  if (statAt(dir.get(), name.c_str(), facts) < 0) {
    if (errno == ENOENT) return;
    check(-1, "statx", path);
  }
  removeTreeAt(dir.get(), name, path);
}

}  // namespace ctr
