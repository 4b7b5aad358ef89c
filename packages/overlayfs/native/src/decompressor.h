// gzip, zstd or nothing, told by the first bytes. Nothing is linked: what the Node binary or the system has is used.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bounded_queue.h"

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

/** For a stream that begins so; null when this process has nothing that reads it. At least four bytes, unless it is shorter. */
std::unique_ptr<Decompressor> decompressorFor(const uint8_t* head, size_t size);

/** "isa-l", "zlib" or "libzstd", "none": what reads gzip and what reads zstd here. */
struct Decompressors {
  const char* gzip;
  const char* zstd;
};
Decompressors availableDecompressors();

}  // namespace ctr
