#include "directory_packer.h"

#include <algorithm>
#include <cstring>

#include "directory_names.h"
#include "inode_xattrs.h"
#include "layer_failure.h"
#include "sys.h"
#include "xattr_policy.h"

namespace ctr {
namespace {

struct statx statusOf(int held, const std::string& path) {
  struct statx s;
  check(::syscall(SYS_statx, held, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &s), "statx", path);
  return s;
}

/** Opens what is held by O_PATH: no name is looked up again, so it is what was judged. */
UniqueFd reopen(const UniqueFd& held, int flags, const std::string& path) {
  const std::string self = "/proc/self/fd/" + std::to_string(held.get());
  return UniqueFd(check(::open(self.c_str(), flags | O_CLOEXEC), "open", path));
}

std::string targetOf(int held, const std::string& path) {
  std::string target(4096, '\0');
  target.resize(static_cast<size_t>(check(::readlinkat(held, "", target.data(), target.size()), "readlinkat", path)));
  return target;
}

/** '\0' for what an archive cannot hold: a socket. */
char typeOf(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return '0';
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFDIR: return '5';
    case S_IFIFO: return '6';
    default: return '\0';
  }
}

}  // namespace

std::string DirectoryPacker::next(size_t size) {
  std::string out;
  if (ended_) return out;
  out.reserve(size + 4 * kTarBlock);
  if (!begun_) {
    begun_ = true;
    enter(UniqueFd(check(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", directory_)), "");
  }
  while (out.size() < size) {
    if (file_.isOpen()) {
      file_.readOn(out, size);
    } else if (!step(out)) {
      out.append(2 * kTarBlock, '\0');  // ends an archive
      ended_ = true;
      break;
    }
  }
  return out;
}

void DirectoryPacker::close() {
  ended_ = true;
  levels_.clear();
  file_ = PackedFile{};
}

void DirectoryPacker::enter(UniqueFd directory, std::string path) {
  auto names = namesIn(directory.get(), path.empty() ? directory_ : path);
  levels_.push_back(Level{std::move(directory), std::move(path), std::move(names)});
}

bool DirectoryPacker::step(std::string& out) {
  while (!levels_.empty() && levels_.back().at == levels_.back().names.size()) levels_.pop_back();
  if (levels_.empty()) return false;
  Level& level = levels_.back();
  const std::string name = level.names[level.at++];
  add(level.fd, name, level.path.empty() ? name : level.path + "/" + name, out);
  return true;
}

void DirectoryPacker::add(const UniqueFd& parent, const std::string& name, const std::string& path, std::string& out) {
  const UniqueFd held(check(::openat(parent.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC), "openat", path));
  const struct statx s = statusOf(held.get(), path);
  TarFacts facts;
  facts.type = typeOf(s.stx_mode);
  if (facts.type == '\0') return;
  facts.path = path;
  facts.mode = s.stx_mode & 07777;
  facts.uid = options_.owner ? options_.owner->first : s.stx_uid;
  facts.gid = options_.owner ? options_.owner->second : s.stx_gid;
  facts.mtime = options_.mtime ? static_cast<int64_t>(*options_.mtime) : std::max<int64_t>(0, s.stx_mtime.tv_sec);
  facts.major = s.stx_rdev_major;
  facts.minor = s.stx_rdev_minor;
  if (facts.type == '5') {
    facts.path += '/';
    UniqueFd directory = reopen(held, O_RDONLY | O_DIRECTORY, path);
    facts.xattrs = xattrsOf(directory.get(), path, isWantedXattr);
    out += tarHeader(facts);
    return enter(std::move(directory), path);
  }
  if (facts.type == '2') {
    facts.target = targetOf(held.get(), path);
  } else if (s.stx_nlink > 1) {
    const auto [first, added] = links_.try_emplace({makedev(s.stx_dev_major, s.stx_dev_minor), s.stx_ino}, path);
    if (!added) {
      facts.type = '1';
      facts.target = first->second;
    }
  }
  if (facts.type == '0') return addFile(held, std::move(facts), out);
  out += tarHeader(facts);
}

void DirectoryPacker::addFile(const UniqueFd& held, TarFacts facts, std::string& out) {
  UniqueFd fd = reopen(held, O_RDONLY | O_NONBLOCK | O_NOCTTY, facts.path);
  facts.xattrs = xattrsOf(fd.get(), facts.path, isWantedXattr);
  facts.size = statusOf(fd.get(), facts.path).stx_size;
  out += tarHeader(facts);
  if (facts.size > 0) file_ = PackedFile(std::move(fd), std::move(facts.path), facts.size);
}

}  // namespace ctr
