#include "erofs_mount.h"

#include "loop_device.h"
#include "sys.h"

namespace ctr {
namespace {

constexpr long kSysFsopen = 430, kSysFsconfig = 431, kSysFsmount = 432;
constexpr unsigned kFsopenCloexec = 1, kFsmountCloexec = 1, kSetFlag = 0, kSetString = 1, kCreate = 6;
constexpr unsigned kReadOnly = 1;  // MOUNT_ATTR_RDONLY
UniqueFd mountSource(const std::string& source, const std::string& path) {
  UniqueFd fs(static_cast<int>(check(::syscall(kSysFsopen, "erofs", kFsopenCloexec), "fsopen", "erofs")));
  check(::syscall(kSysFsconfig, fs.get(), kSetString, "source", source.c_str(), 0), "fsconfig", path);
  // Else a block device is opened for writing, which ours does not let.
  check(::syscall(kSysFsconfig, fs.get(), kSetFlag, "ro", nullptr, 0), "fsconfig", path);
  check(::syscall(kSysFsconfig, fs.get(), kCreate, nullptr, nullptr, 0), "fsconfig", path);
  return UniqueFd(static_cast<int>(check(::syscall(kSysFsmount, fs.get(), kFsmountCloexec, kReadOnly), "fsmount", path)));
}

}  // namespace

ErofsMount mountErofs(int file, const std::string& path) {
  try {
    return {mountSource("/proc/self/fd/" + std::to_string(file), path), ErofsBacking::file};
  } catch (const SyscallFailure& f) {
    // ENOTBLK: this kernel, or the file system that the file lies on, has no mounts of files.
    if (f.error != ENOTBLK) throw;
  }
  const LoopDevice device = attachLoop(file, path, LoopAccess::read_only);
  return {mountSource(device.name, path), ErofsBacking::loop};
}

}  // namespace ctr
