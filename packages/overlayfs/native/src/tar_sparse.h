// Sparse files as GNU tar writes them: old GNU headers, and PAX formats 0.0, 0.1 and 1.0.
// <https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html>
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tar_entry.h"

namespace ctr {

/** What a layer may have of them in all: each costs memory, and real files have a few. */
inline constexpr uint64_t kMaxRegions = 250'000;

/** Offset, size, offset, size … as an archive says them; nothing is checked yet. */
using SparseNumbers = std::vector<uint64_t>;

/** Adds the regions of an old GNU header ('S'), or of a block that goes on with one; true when another such block follows. */
bool readOldSparse(const uint8_t* block, bool continued, SparseNumbers& numbers, const std::string& name);
/** The whole file's size, of an old GNU header. */
uint64_t oldSparseSize(const uint8_t* block, const std::string& name);

/** The map of format 1.0, which stands before the content: lines of decimal numbers, the first says how many pairs follow. */
class SparseText {
 public:
  explicit SparseText(std::string name) : name_(std::move(name)) {}

  /** Throws LayerFailure when the byte cannot stand here. */
  void take(char byte);
  bool complete() const { return count_.has_value() && numbers.size() == *count_ * 2; }

  SparseNumbers numbers;

 private:
  std::string name_;
  std::optional<uint64_t> count_;
  uint64_t value_ = 0;
  unsigned digits_ = 0;
};

/**
 * The parts of a file of `real_size` whose content, `stored` bytes in all, begins at `at` in the archive. Throws LayerFailure unless they
 * are in order, apart from each other, inside the file, made of whole blocks up to the file's end, and just what is stored.
 */
std::vector<Extent> sparseExtents(const SparseNumbers& numbers, uint64_t real_size, uint64_t stored, uint64_t at, const std::string& name);

}  // namespace ctr
