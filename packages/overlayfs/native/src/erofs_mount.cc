#include "erofs_mount.h"

#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cstring>

#include "sys.h"

namespace ctr {
namespace {

constexpr long kSysFsopen = 430, kSysFsconfig = 431, kSysFsmount = 432;
constexpr unsigned kFsopenCloexec = 1, kFsmountCloexec = 1, kSetFlag = 0, kSetString = 1, kCreate = 6;
constexpr unsigned kReadOnly = 1;  // MOUNT_ATTR_RDONLY
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

UniqueFd mountSource(const std::string& source, const std::string& path) {
  UniqueFd fs(static_cast<int>(check(::syscall(kSysFsopen, "erofs", kFsopenCloexec), "fsopen", "erofs")));
  check(::syscall(kSysFsconfig, fs.get(), kSetString, "source", source.c_str(), 0), "fsconfig", path);
  // Else a block device is opened for writing, which ours does not let.
  check(::syscall(kSysFsconfig, fs.get(), kSetFlag, "ro", nullptr, 0), "fsconfig", path);
  check(::syscall(kSysFsconfig, fs.get(), kCreate, nullptr, nullptr, 0), "fsconfig", path);
  return UniqueFd(static_cast<int>(check(::syscall(kSysFsmount, fs.get(), kFsmountCloexec, kReadOnly), "fsmount", path)));
}

/** A device that frees itself when the last user, the mount, is gone. */
UniqueFd attachLoop(int file, const std::string& path, std::string& name) {
  UniqueFd control(check(::open("/dev/loop-control", O_RDWR | O_CLOEXEC), "open", "/dev/loop-control"));
  for (int i = 0;; i++) {
    const int number = check(::ioctl(control.get(), LOOP_CTL_GET_FREE), "ioctl", "/dev/loop-control");
    name = "/dev/loop" + std::to_string(number);
    UniqueFd device(check(::open(name.c_str(), O_RDWR | O_CLOEXEC), "open", name));
    struct loop_config config {};
    config.fd = static_cast<uint32_t>(file);
    config.block_size = 512;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY || i >= kLoopAttempts) check(-1, "ioctl", path);
  }
}

}  // namespace

ErofsMount mountErofs(int file, const std::string& path) {
  try {
    return {mountSource("/proc/self/fd/" + std::to_string(file), path), ErofsBacking::file};
  } catch (const SyscallFailure& f) {
    // ENOTBLK: this kernel, or the file system that the file lies on, has no mounts of files.
    if (f.error != ENOTBLK) throw;
  }
  std::string name;
  const UniqueFd device = attachLoop(file, path, name);
  return {mountSource(name, path), ErofsBacking::loop};
}

}  // namespace ctr
