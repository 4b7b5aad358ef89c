// PAX extended headers: the records that override fields of the next entry.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "layer_limits.h"

namespace ctr {

struct PaxRecords {
  std::optional<std::string> path;
  std::optional<std::string> link;
  std::optional<uint64_t> size;
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<std::pair<int64_t, uint32_t>> mtime;
  std::vector<std::pair<std::string, std::string>> xattrs;
};

/** Records of an `x` header. Throws LayerFailure when one is malformed or a limit is passed. */
PaxRecords parsePax(const std::string& body, const Limits& limits, const std::string& name);

/**
 * Checks a `g` header, whose records hold for all entries that follow. Go's archive/tar ignores them, GNU tar applies
 * them: an archive that two tools read differently is refused, and the harmless keys (comment …) are ignored.
 */
void checkGlobalPax(const std::string& body, const std::string& name);

}  // namespace ctr
