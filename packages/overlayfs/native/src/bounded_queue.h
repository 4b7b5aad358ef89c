// A queue between two threads that holds a bounded number of bytes.
#pragma once
#include <deque>
#include <optional>
#include <utility>

#include "bytes.h"
#include "uv_sync.h"

namespace ctr {

class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  /** Waits for room; false when nobody takes any more. */
  bool push(Bytes&& item) {
    const Locked lock(mutex_);
    while (held_ >= capacity_ && !stopped_) room_.wait(mutex_);
    return put(std::move(item));
  }

  /** Never waits; what does not fit is taken all the same. */
  bool pushNow(Bytes&& item) {
    const Locked lock(mutex_);
    return put(std::move(item));
  }

  /** Waits for the next; nothing when it was closed and is empty, or stopped. */
  std::optional<Bytes> pop() {
    const Locked lock(mutex_);
    while (items_.empty() && !closed_ && !stopped_) filled_.wait(mutex_);
    if (stopped_ || items_.empty()) return std::nullopt;
    Bytes item = std::move(items_.front());
    items_.pop_front();
    held_ -= item.size();
    room_.signal();
    return item;
  }

  bool isFull() const {
    const Locked lock(mutex_);
    return held_ >= capacity_ && !stopped_;
  }

  /** Half empty: enough for whoever fills it to begin anew, so that the two do not wake each other for every item. */
  bool hasRoom() const {
    const Locked lock(mutex_);
    return held_ <= capacity_ / 2 || stopped_;
  }

  bool isStopped() const {
    const Locked lock(mutex_);
    return stopped_;
  }

  /** No more will be put in. */
  void close() {
    const Locked lock(mutex_);
    closed_ = true;
    filled_.broadcast();
  }

  /** Nobody waits here any more. */
  void stop() {
    const Locked lock(mutex_);
    stopped_ = true;
    items_.clear();
    filled_.broadcast();
    room_.broadcast();
  }

 private:
  bool put(Bytes&& item) {
    if (stopped_) return false;
    held_ += item.size();
    items_.push_back(std::move(item));
    filled_.signal();
    return true;
  }

  const size_t capacity_;
  mutable Mutex mutex_;
  Condition room_, filled_;
  std::deque<Bytes> items_;
  size_t held_ = 0;
  bool closed_ = false;
  bool stopped_ = false;
};

}  // namespace ctr
