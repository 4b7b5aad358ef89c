// gzip by the zlib of the Node binary, which is Chromium's with its vector code.
#pragma once
#include <memory>

#include "decompressor.h"

namespace ctr {

bool zlibPresent();
std::unique_ptr<Decompressor> zlibGzip(SpareBuffers& spare);

}  // namespace ctr
