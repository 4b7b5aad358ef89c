#include "inode_xattrs.h"

#include <sys/xattr.h>

#include <algorithm>

#include "sys.h"

namespace ctr {
namespace {

// Linux: XATTR_LIST_MAX and XATTR_SIZE_MAX, xattr(7).
constexpr size_t kMost = 65536;

/** Most inodes have none, or few: a small buffer first. `call` gets the buffer and its size. */
template <typename F>
ssize_t growing(std::vector<char>& buffer, F call) {
  buffer.resize(std::max<size_t>(buffer.size(), 512));
  ssize_t size = call(buffer.data(), buffer.size());
  if (size >= 0 || errno != ERANGE) return size;
  buffer.resize(kMost);
  return call(buffer.data(), buffer.size());
}

}  // namespace

Xattrs xattrsOf(int held, const std::string& path, bool (*wanted)(std::string_view)) {
  const std::string self = "/proc/self/fd/" + std::to_string(held);
  std::vector<char> list;
  const ssize_t size = growing(list, [&](char* to, size_t n) { return ::listxattr(self.c_str(), to, n); });
  if (size < 0 && (errno == EOPNOTSUPP || errno == EACCES || errno == EPERM)) return {};
  check(size, "listxattr", path);
  Xattrs out;
  std::vector<char> value;
  for (ssize_t at = 0; at < size;) {
    const std::string name = list.data() + at;
    at += static_cast<ssize_t>(name.size()) + 1;
    if (!wanted(name)) continue;
    const ssize_t n = growing(value, [&](char* to, size_t room) { return ::getxattr(self.c_str(), name.c_str(), to, room); });
    // Gone meanwhile, or not for this user to read.
    if (n >= 0) out.emplace_back(name, std::string(value.data(), static_cast<size_t>(n)));
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace ctr
