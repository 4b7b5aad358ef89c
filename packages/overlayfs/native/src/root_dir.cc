// SECURITY: RESOLVE_IN_ROOT makes the root what "/" and ".." mean to links; NO_MAGICLINKS because a layer could be
// unpacked where /proc is mounted. <https://man7.org/linux/man-pages/man2/openat2.2.html>
#include "root_dir.h"

namespace ctr {
namespace {

constexpr size_t kCacheSize = 64;

}  // namespace

int RootDir::open(const std::string& path, uint64_t flags) const {
  return openat2(root_->get(), path.empty() ? "." : path.c_str(), flags, kInRoot | kNoMagicLinks);
}

SharedFd RootDir::directory(const std::string& path) {
  if (path.empty()) return root_;
  if (const auto hit = cache_.find(path); hit != cache_.end()) return hit->second;
  UniqueFd fd(open(path, O_PATH | O_DIRECTORY));
  if (!fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return nullptr;
    check(-1, "openat2", path);
  }
  if (cache_.size() >= kCacheSize) cache_.clear();
  return cache_[path] = std::make_shared<UniqueFd>(std::move(fd));
}

}  // namespace ctr
