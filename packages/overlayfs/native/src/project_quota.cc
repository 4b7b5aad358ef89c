#include "project_quota.h"

#include <linux/dqblk_xfs.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/file.h>
#include <sys/ioctl.h>

#include <set>

#include "sys.h"

namespace ctr {
namespace {

constexpr long kSysQuotactlFd = 443;  // Linux 5.14
constexpr unsigned kProjects = 2;     // PRJQUOTA
/** "ct" and 65,536 numbers behind it: administrators and other programs count up from 1. */
constexpr uint32_t kFirst = 0x63740000, kLast = 0x6374ffff;
/** QIF_DQBLKSIZE: limits are counted in it, whatever the file system's blocks are. */
constexpr uint64_t kUnit = 1024;

long quotactlOf(int fd, unsigned command, uint32_t id, void* data) {
  return ::syscall(kSysQuotactlFd, fd, QCMD(command, kProjects), id, data);
}

UniqueFd openDirectory(const std::string& path) {
  return UniqueFd(check(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "open", path));
}

void setLimit(int fd, uint32_t id, uint64_t bytes, const std::string& path) {
  struct if_dqblk limits {};
  limits.dqb_bhardlimit = bytes / kUnit;
  limits.dqb_valid = QIF_BLIMITS;
  check(quotactlOf(fd, Q_SETQUOTA, id, &limits), "quotactl_fd", path);
}

/** The ids of ours that have files; limits of the others are taken away. */
std::set<uint32_t> usedIds(int fd, const std::string& path) {
  std::set<uint32_t> used;
  for (uint32_t id = kFirst; id <= kLast; id++) {
    struct if_nextdqblk next {};
    if (quotactlOf(fd, Q_GETNEXTQUOTA, id, &next) < 0) {
      if (errno != ENOENT && errno != ESRCH) check(-1, "quotactl_fd", path);
      break;
    }
    id = next.dqb_id;
    if (id > kLast) break;
    if (next.dqb_curinodes > 0 || next.dqb_curspace > 0) {
      used.insert(id);
    } else if (next.dqb_bhardlimit > 0) {
      setLimit(fd, id, 0, path);
    }
  }
  return used;
}

void setProject(int fd, uint32_t id, const std::string& path) {
  struct fsxattr attributes {};
  check(::ioctl(fd, FS_IOC_FSGETXATTR, &attributes), "ioctl", path);
  attributes.fsx_projid = id;
  attributes.fsx_xflags |= FS_XFLAG_PROJINHERIT;
  check(::ioctl(fd, FS_IOC_FSSETXATTR, &attributes), "ioctl", path);
}

}  // namespace

bool enforcesProjects(int directory) {
  struct fs_quota_statv state {};
  state.qs_version = FS_QSTATV_VERSION1;
  if (quotactlOf(directory, Q_XGETQSTATV, 0, &state) < 0) return false;
  constexpr unsigned kBoth = FS_QUOTA_PDQ_ACCT | FS_QUOTA_PDQ_ENFD;
  return (state.qs_flags & kBoth) == kBoth;
}

uint32_t limitProject(const std::string& parent, const std::string& directory, uint64_t bytes) {
  const UniqueFd lock = openDirectory(parent);
  check(retry([&] { return ::flock(lock.get(), LOCK_EX); }), "flock", parent);
  const std::set<uint32_t> used = usedIds(lock.get(), parent);
  uint32_t id = kFirst;
  while (used.count(id) > 0) id++;
  if (id > kLast) throw SyscallFailure{EUSERS, "quotactl_fd", parent};
  const UniqueFd held = openDirectory(directory);
  setLimit(lock.get(), id, bytes, directory);
  setProject(held.get(), id, directory);
  return id;
}

void releaseProject(const std::string& parent, uint32_t id) {
  const UniqueFd lock = openDirectory(parent);
  check(retry([&] { return ::flock(lock.get(), LOCK_EX); }), "flock", parent);
  struct if_dqblk found {};
  check(quotactlOf(lock.get(), Q_GETQUOTA, id, &found), "quotactl_fd", parent);
  if (found.dqb_curinodes == 0) setLimit(lock.get(), id, 0, parent);
}

}  // namespace ctr
