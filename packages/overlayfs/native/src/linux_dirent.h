// What getdents64(2) fills its buffer with.
#pragma once
#include <cstdint>

namespace ctr {

struct LinuxDirent {
  uint64_t inode;
  int64_t offset;
  uint16_t length;
  uint8_t type;
  char name[1];
};

}  // namespace ctr
