#include "scan_directory.h"

#include "directory_names.h"
#include "sys.h"

namespace ctr {
namespace {

constexpr uint64_t kBelow = 0x08 | kNoSymlinks | kNoXdev;  // RESOLVE_BENEATH

UniqueFd openBelow(int root, const std::string& path, uint64_t flags) {
  UniqueFd fd(openat2(root, path.empty() ? "." : path.c_str(), flags, kBelow));
  check(fd.valid() ? 0 : -1, "openat2", path);
  return fd;
}

ScannedEntry entryOf(int held, std::string name, const std::string& path) {
  struct statx s;
  check(::syscall(SYS_statx, held, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &s), "statx", path);
  ScannedEntry e;
  e.name = std::move(name);
  e.mode = s.stx_mode;
  e.uid = s.stx_uid;
  e.gid = s.stx_gid;
  e.links = s.stx_nlink;
  e.size = s.stx_size;
  e.inode = s.stx_ino;
  e.device = makedev(s.stx_dev_major, s.stx_dev_minor);
  e.major = s.stx_rdev_major;
  e.minor = s.stx_rdev_minor;
  e.mtime = s.stx_mtime.tv_sec;
  e.mtime_ns = s.stx_mtime.tv_nsec;
  if (S_ISLNK(e.mode)) {
    e.target.resize(4096);
    e.target.resize(static_cast<size_t>(check(::readlinkat(held, "", e.target.data(), e.target.size()), "readlinkat", path)));
  }
  e.xattrs = xattrsOf(held, path, [](std::string_view) { return true; });
  return e;
}

}  // namespace

UniqueFd openDirectoryBelow(int root, const std::string& path) { return openBelow(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW); }

bool scanEntry(int directory, const std::string& name, const std::string& path, ScannedEntry& out) {
  const UniqueFd held(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!held.valid() && errno == ENOENT) return false;
  check(held.valid() ? 0 : -1, "openat", path);
  out = entryOf(held.get(), name, path);
  return true;
}

std::vector<ScannedEntry> scanDirectory(int root, const std::string& path) {
  const UniqueFd directory = openDirectoryBelow(root, path);
  std::vector<ScannedEntry> out;
  out.push_back(entryOf(directory.get(), "", path));
  for (auto& name : namesIn(directory.get(), path)) {
    ScannedEntry entry;
    // False: gone meanwhile.
    if (scanEntry(directory.get(), name, path.empty() ? name : path + "/" + name, entry)) out.push_back(std::move(entry));
  }
  return out;
}

int openFileBelow(int root, const std::string& path) {
  UniqueFd held = openBelow(root, path, O_PATH | O_NOFOLLOW);
  if (!factsOf(held.get(), path).isRegular()) throw SyscallFailure{EINVAL, "openat2", path};
  const std::string self = "/proc/self/fd/" + std::to_string(held.get());
  return check(::open(self.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), "openat", path);
}

}  // namespace ctr
