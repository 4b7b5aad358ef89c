// gzip by Intel's ISA-L, which inflates in about half the time of zlib: linked where the build found its static library, else
// libisal.so.2 of the system if there is one. A build without its header does without it.
#pragma once
#include <memory>

#include "decompressor.h"

namespace ctr {

bool isalPresent();
std::unique_ptr<Decompressor> isalGzip(SpareBuffers& spare);

}  // namespace ctr
