// The extended attributes of an inode that is held.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ctr {

using Xattrs = std::vector<std::pair<std::string, std::string>>;

/**
 * Those that `wanted` takes and this user may see, in the order of bytes. By descriptor, O_PATH too: its name is not looked at again. A
 * file system without any has none; `path` is for the error.
 */
Xattrs xattrsOf(int held, const std::string& path, bool (*wanted)(std::string_view));

}  // namespace ctr
