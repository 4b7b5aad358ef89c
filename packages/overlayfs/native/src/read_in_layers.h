// Reads one file of a stack of layers as the mounted overlay would show it, without mounting it.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace ctr {

/** A path leads to something that is no regular file, or to too large a one. TypeScript makes the sentence. */
struct ReadFailure {
  /** "not-regular", "too-large", "too-many-links" or "not-directory". */
  const char* reason;
  std::string path;
};

/** The content, or nothing when no layer has the path. Layers top first. */
std::optional<std::string> readInLayers(const std::vector<std::string>& layers, const std::string& path, uint64_t max_bytes);

}  // namespace ctr
