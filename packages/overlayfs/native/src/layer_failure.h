// Why a layer was refused: a reason by name, the entry and, for a limit, nothing more. TypeScript makes the sentence.
#pragma once
#include <string>
#include <utility>

namespace ctr {

struct LayerFailure {
  /** One of the reasons in src/layer-error.ts. */
  const char* reason;
  /** True when a limit was passed, false when the layer is malformed. */
  bool limit = false;
  /** The entry's name as it stands in the archive; empty when it is not known yet. */
  std::string entry;
};

[[noreturn]] inline void refuse(const char* reason, std::string entry = {}) { throw LayerFailure{reason, false, std::move(entry)}; }
[[noreturn]] inline void overLimit(const char* reason, std::string entry = {}) { throw LayerFailure{reason, true, std::move(entry)}; }

}  // namespace ctr
