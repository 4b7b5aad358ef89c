// A file as a block device.
#pragma once
#include <string>

#include "unique_fd.h"

namespace ctr {

enum class LoopAccess { read_only, read_write };

/** Its name, and a descriptor: the device frees itself when this and every mount of it are gone. */
struct LoopDevice {
  UniqueFd fd;
  std::string name;
};

/** Binds the open file to a free loop device. `path` is for failures. */
LoopDevice attachLoop(int file, const std::string& path, LoopAccess access);

}  // namespace ctr
