// A layer in the directory form: the held root, the reader and the writer as one object.
#pragma once
#include <memory>
#include <string>

#include "entry_writer.h"
#include "layer_builder.h"
#include "layer_directory.h"
#include "tar_reader.h"

namespace ctr {

class LayerExtractor final : public LayerBuilder {
 public:
  LayerExtractor(std::string directory, bool user_xattrs, bool sync, const Limits& limits)
      : directory_(std::move(directory)), user_xattrs_(user_xattrs), sync_(sync), limits_(limits) {}

  bool isSlow() const override { return true; }
  void open() override;
  void write(const uint8_t* bytes, size_t size) override { reader_->write(bytes, size); }
  Outcome end() override;
  void abort() override;

 private:
  LayerDirectory directory_;
  bool user_xattrs_;
  bool sync_;
  Limits limits_;
  UniqueFd held_;
  std::unique_ptr<EntryWriter> writer_;
  std::unique_ptr<TarReader> reader_;
};

}  // namespace ctr
