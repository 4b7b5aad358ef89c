// Bytes that travel from thread to thread, and the buffers that come back to be filled again.
#pragma once
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "uv_sync.h"

namespace ctr {

/** Leaves new bytes as they are: whoever makes room is about to fill it. */
template <typename T>
struct Unfilled : std::allocator<T> {
  template <typename U>
  struct rebind {
    using other = Unfilled<U>;
  };
  template <typename U>
  void construct(U* at) noexcept {
    ::new (static_cast<void*>(at)) U;
  }
  template <typename U, typename... Args>
  void construct(U* at, Args&&... args) {
    ::new (static_cast<void*>(at)) U(std::forward<Args>(args)...);
  }
};

using Bytes = std::vector<uint8_t, Unfilled<uint8_t>>;

inline Bytes copyOf(const uint8_t* from, size_t size) {
  Bytes bytes(size);
  if (size > 0) std::memcpy(bytes.data(), from, size);
  return bytes;
}

/** Buffers of one size that are used again: a new one costs as many page faults as it has pages. */
class SpareBuffers {
 public:
  explicit SpareBuffers(size_t size) : size_(size) {}

  size_t size() const { return size_; }

  /** As long as size(), its content is whatever it was. */
  Bytes take() {
    Bytes buffer;
    {
      const Locked lock(mutex_);
      if (!spare_.empty()) {
        buffer = std::move(spare_.back());
        spare_.pop_back();
      }
    }
    buffer.resize(size_);
    return buffer;
  }

  /** What take() did not make, is freed. */
  void give(Bytes&& buffer) {
    if (buffer.capacity() != size_) return;
    const Locked lock(mutex_);
    spare_.push_back(std::move(buffer));
  }

 private:
  const size_t size_;
  Mutex mutex_;
  std::vector<Bytes> spare_;
};

}  // namespace ctr
