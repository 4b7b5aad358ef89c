// A layer in the EROFS form: one file, the archive as it came with metadata behind it.
//
//   0         1024         4096            block border
//   | zeros   | superblock | tar, verbatim | inodes, directories |
#pragma once
#include <memory>
#include <string>

#include "layer_builder.h"
#include "layer_directory.h"
#include "layer_tree.h"
#include "tar_reader.h"

namespace ctr {

/** The file in the layer's directory. */
inline constexpr const char* kErofsFile = "layer.erofs";

class ErofsLayer final : public LayerBuilder {
 public:
  ErofsLayer(std::string directory, bool user_xattrs, bool sync, const Limits& limits)
      : directory_(std::move(directory)), user_xattrs_(user_xattrs), sync_(sync), limits_(limits) {}

  bool isSlow() const override { return false; }
  void open() override;
  void write(const uint8_t* bytes, size_t size) override;
  Outcome end() override;
  void abort() override;

 private:
  void put(const void* bytes, size_t size, uint64_t at);

  LayerDirectory directory_;
  bool user_xattrs_;
  bool sync_;
  Limits limits_;
  UniqueFd held_;
  UniqueFd file_;
  uint64_t tar_size_ = 0;
  std::unique_ptr<LayerTree> tree_;
  std::unique_ptr<TarReader> reader_;
};

}  // namespace ctr
