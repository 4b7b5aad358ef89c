// What was written, and what an ordinary user's rights made us leave out: counted, never silent.
#pragma once
#include <cstdint>

namespace ctr {

struct LayerStats {
  uint64_t entries = 0;
  uint64_t bytes = 0;
  uint64_t owners_dropped = 0;
  uint64_t xattrs_dropped = 0;
  uint64_t devices_skipped = 0;
  uint64_t implicit_directories = 0;
  uint64_t auxiliary_skipped = 0;
  bool opaque_root = false;
};

}  // namespace ctr
