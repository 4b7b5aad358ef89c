// Ids of a file system as they are seen in a user namespace: user_namespaces(7).
#pragma once
#include <cstdint>
#include <vector>

#include "scan_directory.h"

namespace ctr {

struct IdRange {
  uint32_t inside, outside, size;
};

/** Empty: as they are. */
using IdMap = std::vector<IdRange>;

struct IdMaps {
  IdMap uid, gid;
};

/** An id that the map does not have is nobody's, as stat(2) shows it there. */
uint32_t insideId(const IdMap& map, uint32_t outside);

/** Owner, group and the owner of its capabilities. */
void seeInside(const IdMaps& maps, ScannedEntry& entry);

}  // namespace ctr
