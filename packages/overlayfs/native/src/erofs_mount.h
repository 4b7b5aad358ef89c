// Mounts a layer file detached.
#pragma once
#include <string>

#include "unique_fd.h"

namespace ctr {

enum class ErofsBacking { file, loop };

struct ErofsMount {
  UniqueFd fd;
  ErofsBacking backing;
};

/**
 * The file as a read-only detached mount. Directly where the kernel can (Linux 6.12, not on every file system), else through a
 * loop device that goes with the mount. SECURITY: only for files that this package wrote.
 */
ErofsMount mountErofs(int file, const std::string& path);

}  // namespace ctr
