// One 512-byte tar header block: V7, POSIX ustar and old GNU, read strictly.
// <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html> "ustar Interchange Format".
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

namespace ctr {

inline constexpr uint64_t kBlock = 512;

struct TarHeader {
  char type = '0';
  std::string name;
  std::string link;
  uint32_t mode = 0;
  int64_t uid = 0;
  int64_t gid = 0;
  int64_t size = 0;
  int64_t mtime = 0;
  int64_t major = 0;
  int64_t minor = 0;
};

/** True for a block of zeros, which marks the archive's end. */
bool isZeroBlock(const uint8_t* block);

/** A number of a header's field; throws LayerFailure when it is none. */
int64_t parseTarNumber(const uint8_t* at, size_t size, const std::string& name);

/** Reads a block; throws LayerFailure on a wrong checksum, or a number that is not one. */
TarHeader parseTarHeader(const uint8_t* block);

}  // namespace ctr
