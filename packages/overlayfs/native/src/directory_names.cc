#include "directory_names.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "linux_dirent.h"
#include "sys.h"

namespace ctr {

std::vector<std::string> namesIn(int directory, const std::string& path) {
  std::vector<std::string> names;
  alignas(LinuxDirent) std::array<char, 32768> buffer;
  for (;;) {
    const long size = check(::syscall(SYS_getdents64, directory, buffer.data(), buffer.size()), "getdents64", path);
    if (size == 0) break;
    for (long at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const LinuxDirent*>(buffer.data() + at);
      at += entry->length;
      if (std::strcmp(entry->name, ".") != 0 && std::strcmp(entry->name, "..") != 0) names.emplace_back(entry->name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace ctr
