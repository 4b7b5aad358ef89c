// One layer on its way to its place on disk, in whichever form: an object with a beginning and an end.
#pragma once
#include <cstddef>
#include <cstdint>

#include "layer_stats.h"

namespace ctr {

class LayerBuilder {
 public:
  struct Outcome {
    LayerStats stats;
    bool end_marker;
  };

  virtual ~LayerBuilder() = default;
  /** Whether write() takes longer than inflating what it is given: then the other thread hashes. */
  virtual bool isSlow() const = 0;
  /** Makes the directory, or takes it when it is there and empty. */
  virtual void open() = 0;
  virtual void write(const uint8_t* bytes, size_t size) = 0;
  /** The stream is over: checks that it is whole, makes it durable, and closes everything. */
  virtual Outcome end() = 0;
  /** Closes everything; removes the directory when it is ours and was not finished. */
  virtual void abort() = 0;
};

}  // namespace ctr
