// zstd by the system's libzstd, if it has one.
#pragma once
#include <memory>

#include "decompressor.h"

namespace ctr {

bool zstdPresent();
std::unique_ptr<Decompressor> zstdFrames(SpareBuffers& spare);

}  // namespace ctr
