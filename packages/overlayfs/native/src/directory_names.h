// The names in an open directory.
#pragma once
#include <string>
#include <vector>

namespace ctr {

/** In the order of bytes, without "." and ".."; `path` is for the error. */
std::vector<std::string> namesIn(int directory, const std::string& path);

}  // namespace ctr
