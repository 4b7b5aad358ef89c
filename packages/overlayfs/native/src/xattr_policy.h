// Which extended attributes of an archive a layer keeps.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>

namespace ctr {

/**
 * SECURITY: an allow-list. trusted.overlay.* and user.overlay.* would let an image redirect, reveal or hide files in
 * the merged view; labels and ACLs of another host have no meaning on this one.
 */
inline bool isWantedXattr(std::string_view name) {
  if (name == "security.capability") return true;
  return name.starts_with("user.") && name.size() > 5 && !name.starts_with("user.overlay.");
}

/** What setxattr(2) would say of a file's capabilities: only the kernel's formats 2 and 3, at their exact sizes. */
inline bool isValidCapability(std::string_view value) {
  uint32_t magic = 0;
  if (value.size() < sizeof magic) return false;
  std::memcpy(&magic, value.data(), sizeof magic);
  const uint32_t revision = magic & 0xff000000;
  return (revision == 0x02000000 && value.size() == 20) || (revision == 0x03000000 && value.size() == 24);
}

}  // namespace ctr
