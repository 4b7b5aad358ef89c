// PAX extended headers: the records that override fields of the next entry.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "layer_limits.h"
#include "tar_sparse.h"

namespace ctr {

/** Records of GNU tar's sparse files. */
struct PaxSparse {
  std::optional<std::string> name;
  std::optional<std::string> major;
  std::optional<std::string> minor;
  /** GNU.sparse.size of the formats 0.x, GNU.sparse.realsize of 1.0. */
  std::optional<uint64_t> size;
  SparseNumbers numbers;
  bool has_map = false;

  /** Format 1.0, whose map stands before the content. Throws LayerFailure when this is no format at all. */
  bool isVersion1(const std::string& name) const;
};

struct PaxRecords {
  std::optional<PaxSparse> sparse;
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
