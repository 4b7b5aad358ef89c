#include "decompressor.h"

#include <algorithm>
#include <initializer_list>

#include "isal_gzip.h"
#include "zlib_gzip.h"
#include "zstd_frames.h"

namespace ctr {
namespace {

class Plain final : public Decompressor {
 public:
  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override { return take(copyOf(bytes, size)); }
  bool finish(const TakeBytes&) override { return true; }
};

std::unique_ptr<Decompressor> gzip(SpareBuffers& spare, GzipBy by) {
  if (by == GzipBy::fastest && isalPresent()) return isalGzip(spare);
  return zlibPresent() ? zlibGzip(spare) : nullptr;
}

}  // namespace

std::unique_ptr<Decompressor> decompressorFor(const uint8_t* head, size_t size, SpareBuffers& spare, GzipBy by) {
  const auto begins = [&](std::initializer_list<uint8_t> magic) { return size >= magic.size() && std::equal(magic.begin(), magic.end(), head); };
  if (begins({0x1f, 0x8b})) return gzip(spare, by);
  // 0x184D2A50 to 0x184D2A5F are skippable frames.
  const bool skippable = size >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
  if (skippable || begins({0x28, 0xb5, 0x2f, 0xfd})) return zstdPresent() ? zstdFrames(spare) : nullptr;
  return std::make_unique<Plain>();
}

Decompressors availableDecompressors() {
  return {isalPresent() ? "isa-l" : zlibPresent() ? "zlib" : "none", zstdPresent() ? "libzstd" : "none"};
}

}  // namespace ctr
