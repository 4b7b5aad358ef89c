// Bytes into one gzip member, fast rather than small: a layer is compressed once, on the way to its blob.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace ctr {

class Compressor {
 public:
  virtual ~Compressor() = default;
  virtual void feed(const uint8_t* bytes, size_t size, std::string& out) = 0;
  /** Ends the member. */
  virtual void finish(std::string& out) = 0;
};

/** By ISA-L at its level 1 where it is there, else by the zlib that the Node binary exports. Throws LayerFailure where neither is. */
std::unique_ptr<Compressor> gzipCompressor();

}  // namespace ctr
