// A copy of a file that is mostly holes.
#pragma once
#include <string>

namespace ctr {

/** Makes `to`, mode 0600, which must not exist: by reflink where the file system can, else only what is no hole is copied. */
void copySparse(const std::string& from, const std::string& to);

}  // namespace ctr
