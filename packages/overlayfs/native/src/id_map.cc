#include "id_map.h"

#include <linux/capability.h>

#include <cstring>

namespace ctr {
namespace {

constexpr uint32_t kOverflowId = 65534;

/** What root of a user namespace sets says whose root it was; of one inside, that is left out (capabilities(7), VFS_CAP_REVISION_2). */
void unsignCapabilities(const IdMap& uid, std::string& value) {
  vfs_ns_cap_data data;
  if (value.size() != sizeof data) return;
  std::memcpy(&data, value.data(), sizeof data);
  if ((data.magic_etc & VFS_CAP_REVISION_MASK) != VFS_CAP_REVISION_3 || insideId(uid, data.rootid) != 0) return;
  data.magic_etc = VFS_CAP_REVISION_2 | (data.magic_etc & VFS_CAP_FLAGS_MASK);
  value.assign(reinterpret_cast<const char*>(&data), sizeof(vfs_cap_data));
}

}  // namespace

uint32_t insideId(const IdMap& map, uint32_t outside) {
  if (map.empty()) return outside;
  for (const IdRange& r : map)
    if (outside >= r.outside && outside - r.outside < r.size) return r.inside + (outside - r.outside);
  return kOverflowId;
}

void seeInside(const IdMaps& maps, ScannedEntry& entry) {
  if (maps.uid.empty() && maps.gid.empty()) return;
  entry.uid = insideId(maps.uid, entry.uid);
  entry.gid = insideId(maps.gid, entry.gid);
  for (auto& [name, value] : entry.xattrs)
    if (name == "security.capability") unsignCapabilities(maps.uid, value);
}

}  // namespace ctr
