// How much a layer may cost. The defaults are in src/layer-limits.ts; the order of the fields is the order of the array there.
#pragma once
#include <cstdint>

namespace ctr {

struct Limits {
  uint64_t entries;           // files, directories, links …, implicit directories included
  uint64_t bytes;             // of the uncompressed tar stream
  uint64_t path_bytes;        // of a name or a link's target
  uint64_t depth;             // components of a name
  uint64_t header_bytes;      // of one extended header (PAX x and g)
  uint64_t xattrs;            // attributes of one entry
  uint64_t xattr_value_bytes; // of one attribute
};

}  // namespace ctr
