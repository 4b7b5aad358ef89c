#include "loop_device.h"

#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <utility>

#include "sys.h"

namespace ctr {
namespace {

/** Others may take the device between asking for a free one and configuring it. */
constexpr int kLoopAttempts = 64;

#ifndef LOOP_CONFIGURE  // Linux 5.8
struct loop_config {
  uint32_t fd;
  uint32_t block_size;
  struct loop_info64 info;
  uint64_t reserved[8];
};
#define LOOP_CONFIGURE 0x4C0A
#endif

}  // namespace

LoopDevice attachLoop(int file, const std::string& path, LoopAccess access) {
  UniqueFd control(check(::open("/dev/loop-control", O_RDWR | O_CLOEXEC), "open", "/dev/loop-control"));
  for (int i = 0;; i++) {
    const int number = check(::ioctl(control.get(), LOOP_CTL_GET_FREE), "ioctl", "/dev/loop-control");
    std::string name = "/dev/loop" + std::to_string(number);
    UniqueFd device(check(::open(name.c_str(), O_RDWR | O_CLOEXEC), "open", name));
    struct loop_config config {};
    config.fd = static_cast<uint32_t>(file);
    config.block_size = 512;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | (access == LoopAccess::read_only ? LO_FLAGS_READ_ONLY : 0);
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return {std::move(device), std::move(name)};
    if (errno != EBUSY || i >= kLoopAttempts) check(-1, "ioctl", path);
  }
}

}  // namespace ctr
