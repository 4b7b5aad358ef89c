#include "layer_directory.h"

#include <dirent.h>

#include "remove_tree.h"
#include "sys.h"

namespace ctr {
namespace {

/** The root is seen by users of the container when it is mounted without an upper directory. */
constexpr mode_t kRootMode = 0755;

bool isEmpty(int fd, const std::string& path) {
  // getdents64 gives "." and ".." (24 bytes each) in any order; a third entry means not empty.
  char buffer[4096];
  const long size = check(::syscall(SYS_getdents64, fd, buffer, sizeof buffer), "getdents64", path);
  return size <= 48;
}

}  // namespace

UniqueFd LayerDirectory::open() {
  if (::mkdir(path_.c_str(), kRootMode) < 0 && errno != EEXIST) check(-1, "mkdir", path_);
  UniqueFd fd(check(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "open", path_));
  // Somebody's files are neither mixed with a layer nor removed by abort().
  if (!isEmpty(fd.get(), path_)) throw SyscallFailure{ENOTEMPTY, "mkdir", path_};
  ours_ = true;
  check(::fchmod(fd.get(), kRootMode), "fchmod", path_);
  return fd;
}

void LayerDirectory::discard() {
  if (!ours_) return;
  ours_ = false;
  removeTree(path_);
}

}  // namespace ctr
