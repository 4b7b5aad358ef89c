#include "scan_directory.h"

#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "sys.h"

namespace ctr {
namespace {

constexpr uint64_t kBelow = 0x08 | kNoSymlinks | kNoXdev;  // RESOLVE_BENEATH

/** linux_dirent64 of getdents64(2). */
struct Dirent {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];
};

UniqueFd openBelow(int root, const std::string& path, uint64_t flags) {
  UniqueFd fd(openat2(root, path.empty() ? "." : path.c_str(), flags, kBelow));
  check(fd.valid() ? 0 : -1, "openat2", path);
  return fd;
}

std::vector<std::string> namesIn(int directory, const std::string& path) {
  std::vector<std::string> names;
  alignas(Dirent) std::array<char, 32768> buffer;
  for (;;) {
    const long size = check(::syscall(SYS_getdents64, directory, buffer.data(), buffer.size()), "getdents64", path);
    if (size == 0) break;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const Dirent*>(buffer.data() + at);
      at += entry->length;
      if (std::strcmp(entry->name, ".") != 0 && std::strcmp(entry->name, "..") != 0) names.emplace_back(entry->name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

/** The held inode's attributes; its name is not looked at again. A file system without any has none. */
std::vector<std::pair<std::string, std::string>> xattrsOf(int held, const std::string& path) {
  const std::string self = "/proc/self/fd/" + std::to_string(held);
  std::vector<char> list(65536);
  const ssize_t size = ::listxattr(self.c_str(), list.data(), list.size());
  if (size < 0 && (errno == EOPNOTSUPP || errno == EACCES || errno == EPERM)) return {};
  check(size, "listxattr", path);
  std::vector<std::pair<std::string, std::string>> out;
  std::vector<char> value(65536);
  for (ssize_t at = 0; at < size;) {
    const std::string name = list.data() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    const ssize_t n = ::getxattr(self.c_str(), name.c_str(), value.data(), value.size());
    // Gone meanwhile, or not for this user to read.
    if (n >= 0) out.emplace_back(name, std::string(value.data(), static_cast<size_t>(n)));
  }
  std::sort(out.begin(), out.end());
  return out;
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
  e.xattrs = xattrsOf(held, path);
  return e;
}

}  // namespace

std::vector<ScannedEntry> scanDirectory(int root, const std::string& path) {
  const UniqueFd directory = openBelow(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  std::vector<ScannedEntry> out;
  out.push_back(entryOf(directory.get(), "", path));
  for (auto& name : namesIn(directory.get(), path)) {
    const UniqueFd held(::openat(directory.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!held.valid() && errno == ENOENT) continue;  // gone meanwhile
    check(held.valid() ? 0 : -1, "openat", path.empty() ? name : path + "/" + name);
    out.push_back(entryOf(held.get(), name, path.empty() ? name : path + "/" + name));
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
