// SECURITY: maps are refused where readers differ: unsorted and overlapping regions, and sums that are not what is stored
// (CVE-2025-58183, CVE-2026-32288).
#include "tar_sparse.h"

#include "layer_failure.h"
#include "tar_header.h"

namespace ctr {
namespace {

constexpr size_t kOldMap = 386, kOldPairs = 4, kOldContinued = 482, kOldSize = 483;
constexpr size_t kBlockPairs = 21, kBlockContinued = 504;
constexpr size_t kNumber = 12;

uint64_t field(const uint8_t* at, const std::string& name) {
  const int64_t value = parseTarNumber(at, kNumber, name);
  if (value < 0) refuse("negative-size", name);
  return static_cast<uint64_t>(value);
}

}  // namespace

bool readOldSparse(const uint8_t* block, bool continued, SparseNumbers& numbers, const std::string& name) {
  const uint8_t* at = block + (continued ? 0 : kOldMap);
  for (size_t i = 0; i < (continued ? kBlockPairs : kOldPairs); i++, at += 2 * kNumber) {
    if (at[kNumber] == '\0') break;  // an empty field ends the map
    numbers.push_back(field(at, name));
    numbers.push_back(field(at + kNumber, name));
  }
  if (numbers.size() / 2 > kMaxRegions) overLimit("sparse-regions", name);
  return block[continued ? kBlockContinued : kOldContinued] != 0;
}

uint64_t oldSparseSize(const uint8_t* block, const std::string& name) { return field(block + kOldSize, name); }

void SparseText::take(char byte) {
  if (byte >= '0' && byte <= '9') {
    if (++digits_ > 19) refuse("sparse-map", name_);
    value_ = value_ * 10 + static_cast<uint64_t>(byte - '0');
    return;
  }
  if (byte != '\n' || digits_ == 0 || value_ > INT64_MAX) refuse("sparse-map", name_);
  if (!count_) {
    if (value_ > kMaxRegions) overLimit("sparse-regions", name_);
    count_ = value_;
  } else {
    numbers.push_back(value_);
  }
  value_ = 0;
  digits_ = 0;
}

std::vector<Extent> sparseExtents(const SparseNumbers& numbers, uint64_t real_size, uint64_t stored, uint64_t at, const std::string& name) {
  std::vector<Extent> out;
  if (numbers.size() % 2 != 0) refuse("sparse-map", name);
  uint64_t end = 0, sum = 0;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    const uint64_t offset = numbers[i], size = numbers[i + 1];
    if (offset < end || offset > real_size || size > real_size - offset) refuse("sparse-map", name);
    end = offset + size;
    if (size == 0) continue;  // GNU tar marks the file's end so
    if (offset % kBlock != 0 || (size % kBlock != 0 && end != real_size)) refuse("sparse-blocks", name);
    out.push_back({offset, size, at + sum});
    sum += size;
  }
  if (sum != stored) refuse("sparse-map", name);
  // Not one part with content: the mark of a sparse file is that it has a list.
  if (out.empty()) out.push_back({0, 0, at});
  return out;
}

}  // namespace ctr
