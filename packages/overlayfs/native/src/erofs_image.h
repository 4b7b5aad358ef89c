// The metadata of an EROFS image over a tar archive: inodes and directories that point at the content where it stands.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "erofs_format.h"
#include "layer_tree.h"

namespace ctr::erofs {

struct Image {
  SuperBlock super;
  /** Goes behind the archive, at metaOffset(). */
  std::vector<uint8_t> metadata;
  /** Extended attributes that the format has no room for. */
  uint64_t xattrs_dropped = 0;
};

/** Where the metadata of an archive of this size begins: the next block's border. */
uint64_t metaOffset(uint64_t tar_size);

/**
 * Lays the tree out behind an archive of `tar_size` bytes that begins at kTarStart. Deterministic: equal archives make equal
 * images. Throws LayerFailure when the archive is larger than 32-bit block numbers reach.
 */
Image makeImage(const Node& root, uint64_t tar_size, bool user_xattrs);

}  // namespace ctr::erofs
