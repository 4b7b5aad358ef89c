// What a decompressor fills: given on when it is full, as a queue counts what is in its buffers, not how much room they take.
#pragma once
#include <utility>

#include "decompressor.h"

namespace ctr {

class OutputBuffer {
 public:
  explicit OutputBuffer(SpareBuffers& spare) : spare_(spare) {}

  /** Room for at least one byte. */
  uint8_t* at() {
    if (bytes_.empty()) bytes_ = spare_.take();
    return bytes_.data() + filled_;
  }
  size_t room() const { return spare_.size() - filled_; }
  void filled(size_t more) { filled_ += more; }
  bool isFull() const { return filled_ == spare_.size(); }

  /** False when the taker stopped. */
  bool flush(const TakeBytes& take) {
    if (filled_ == 0) return true;
    bytes_.resize(filled_);
    filled_ = 0;
    return take(std::exchange(bytes_, {}));
  }

 private:
  SpareBuffers& spare_;
  Bytes bytes_;
  size_t filled_ = 0;
};

}  // namespace ctr
