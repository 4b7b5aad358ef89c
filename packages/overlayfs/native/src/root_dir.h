// The held root of a layer: every name is resolved by the kernel inside of it, whatever links the layer holds.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "sys.h"

namespace ctr {

using SharedFd = std::shared_ptr<UniqueFd>;

class RootDir {
 public:
  explicit RootDir(UniqueFd root) : root_(std::make_shared<UniqueFd>(std::move(root))) {}

  int get() const { return root_->get(); }

  /** Opens `path` ("" is the root) by openat2(RESOLVE_IN_ROOT); -1 and errno on failure. */
  int open(const std::string& path, uint64_t flags) const;

  /** The directory `path` as an O_PATH descriptor out of the cache; null with errno ENOENT, ENOTDIR or ELOOP. */
  SharedFd directory(const std::string& path);

  /**
   * A directory or a link was removed or replaced: a cached path may lead elsewhere now. Forgetting all of them is
   * rare and cheap, and cannot be got wrong (CVE-2021-32803 and its followers were caches that forgot too little).
   */
  void forget() { cache_.clear(); }

 private:
  SharedFd root_;
  std::unordered_map<std::string, SharedFd> cache_;
};

}  // namespace ctr
