// The order matters: chown clears set-id bits and security.capability, writing clears them too, and only the last
// call may set the time.
#include "inode_metadata.h"

#include <sys/xattr.h>

#include "layer_failure.h"
#include "xattr_policy.h"

namespace ctr {
namespace {

void setTime(int dirfd, const char* name, const TarEntry& entry) {
  const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(entry.mtime), static_cast<long>(entry.mtime_ns)}};
  const int r = name == nullptr ? ::futimens(dirfd, times) : ::utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW);
  check(r, "utimensat", entry.path);
}

}  // namespace

InodeMetadata::InodeMetadata(bool user_xattrs, LayerStats& stats)
    : opaque_name_(user_xattrs ? "user.overlay.opaque" : "trusted.overlay.opaque"), keep_owner_(::geteuid() == 0), stats_(stats) {}

/** True when nothing is to be done about the owner: it is right, or it cannot be ours to give and was counted. */
bool InodeMetadata::owned(const Facts& facts, const TarEntry& entry) {
  if (facts.uid == entry.uid && facts.gid == entry.gid) return true;
  if (keep_owner_) return false;
  // With one mapped id the caller is the container's root: only other owners are lost.
  if (entry.uid != 0 || entry.gid != 0) stats_.owners_dropped++;
  return true;
}

void InodeMetadata::applyTo(int fd, const TarEntry& entry, uint32_t mode) {
  const Facts facts = factsOf(fd, entry.path);
  bool chowned = false;
  if (!owned(facts, entry)) {
    chowned = ::fchown(fd, entry.uid, entry.gid) == 0;
    // EINVAL: an id that the user namespace of this process does not map.
    if (!chowned && errno != EINVAL) check(-1, "fchown", entry.path);
    if (!chowned) stats_.owners_dropped++;
  }
  if (chowned || (facts.mode & 07777) != mode) check(::fchmod(fd, mode), "fchmod", entry.path);
  applyXattrs(fd, entry);
  setTime(fd, nullptr, entry);
}

void InodeMetadata::applyXattrs(int fd, const TarEntry& entry) {
  for (const auto& [name, value] : entry.xattrs) {
    if (isWantedXattr(name)) {
      if (::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0) == 0) continue;
      // EPERM: a capability needs CAP_SETFCAP; EOPNOTSUPP: the file system has none; EINVAL: it is malformed;
      // ERANGE, E2BIG: more than this file system stores.
      const bool cannot = errno == EPERM || errno == EOPNOTSUPP || errno == EINVAL || errno == ERANGE || errno == E2BIG;
      if (!cannot) check(-1, "fsetxattr", entry.path);
    }
    stats_.xattrs_dropped++;
  }
}

void InodeMetadata::applyAt(int parent, const std::string& name, const TarEntry& entry) {
  Facts facts;
  check(statAt(parent, name.c_str(), facts), "statx", entry.path);
  if (!owned(facts, entry) && ::fchownat(parent, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) < 0) {
    if (errno != EINVAL) check(-1, "fchownat", entry.path);
    stats_.owners_dropped++;
  }
  if (!facts.isSymlink()) {
    // fchmodat follows links whatever its flag says (glibc only emulates it): by the held inode.
    UniqueFd held(check(::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC), "openat", entry.path));
    const Facts now = factsOf(held.get(), entry.path);
    if (!now.sameInode(facts)) throw SyscallFailure{ESTALE, "openat", entry.path};
    if ((now.mode & 07777) != entry.mode) check(chmodHeld(held.get(), entry.mode), "chmod", entry.path);
  }
  stats_.xattrs_dropped += entry.xattrs.size();
  setTime(parent, name.c_str(), entry);
}

void InodeMetadata::markOpaque(int directory_fd, const std::string& path) {
  // An O_PATH descriptor takes no attributes: open the very same directory for reading.
  UniqueFd fd(check(::openat(directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), "openat", path));
  check(::fsetxattr(fd.get(), opaque_name_, "y", 1, 0), "fsetxattr", path);
}

}  // namespace ctr
