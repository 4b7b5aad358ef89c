// gzip, zstd or nothing, told by the first bytes.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "bytes.h"

namespace ctr {

/** Takes a part of the uncompressed stream; false stops. */
using TakeBytes = std::function<bool(Bytes&&)>;

class Decompressor {
 public:
  virtual ~Decompressor() = default;
  /** Throws LayerFailure for damaged data. False when the taker stopped. */
  virtual bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) = 0;
  /** The stream is over: throws LayerFailure when that is in the middle. */
  virtual bool finish(const TakeBytes& take) = 0;
};

/** Who inflates: ISA-L where it is, or always the zlib that Node brings. */
enum class GzipBy { fastest, zlib };

/** For a stream that begins so; null when this process has nothing that reads it. At least four bytes, unless it is shorter. */
std::unique_ptr<Decompressor> decompressorFor(const uint8_t* head, size_t size, SpareBuffers& spare, GzipBy by);

/** "isa-l", "zlib" or "none" for gzip, "libzstd" or "none" for zstd: what reads them here. */
struct Decompressors {
  const char* gzip;
  const char* zstd;
};
Decompressors availableDecompressors();

}  // namespace ctr
