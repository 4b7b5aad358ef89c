// One layer on its way into a directory: the held root, the reader and the writer as one object with a beginning and an end.
#pragma once
#include <memory>
#include <string>

#include "entry_writer.h"
#include "tar_reader.h"

namespace ctr {

class LayerExtractor {
 public:
  LayerExtractor(std::string directory, bool user_xattrs, const Limits& limits)
      : directory_(std::move(directory)), user_xattrs_(user_xattrs), limits_(limits) {}

  /** Makes the directory, or takes it when it is there and empty. */
  void open();
  void write(const uint8_t* bytes, size_t size);
  struct Outcome {
    LayerStats stats;
    bool end_marker;
  };
  /** The stream is over: checks that it is whole, sets what must be set last, and closes everything. */
  Outcome end();
  /** Closes everything; removes the directory when it is ours and was not finished. */
  void abort();

 private:
  std::string directory_;
  bool user_xattrs_;
  Limits limits_;
  bool ours_ = false;
  std::unique_ptr<EntryWriter> writer_;
  std::unique_ptr<TarReader> reader_;
};

}  // namespace ctr
