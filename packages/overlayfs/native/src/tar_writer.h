// The blocks before an entry's content: ustar, with PAX records for what ustar cannot say. The same facts give the same bytes.
// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>
#pragma once
#include <cstdint>
#include <string>

#include "inode_xattrs.h"

namespace ctr {

inline constexpr size_t kTarBlock = 512;

struct TarFacts {
  /** '0' file, '1' hard link, '2' symbolic link, '3' and '4' devices, '5' directory, '6' FIFO. */
  char type = '0';
  std::string path;
  std::string target;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  /** Seconds since 1970, and nanoseconds on top. */
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
  /** Of devices. */
  uint32_t major = 0;
  uint32_t minor = 0;
  Xattrs xattrs;
};

std::string tarHeader(const TarFacts& facts);

/** Zeros from the end of a content up to the block's border. */
inline size_t tarPadding(uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

}  // namespace ctr
