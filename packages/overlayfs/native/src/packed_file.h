// What makes an archive piece by piece, and the content of the file that it is at.
#pragma once
#include <cstdint>
#include <string>

#include "unique_fd.h"

namespace ctr {

/** An archive made for whoever asks. Not for several threads at once. */
class Packer {
 public:
  virtual ~Packer() = default;

  /** The next bytes, about as many as `size`; none at the end. Throws SyscallFailure with the path within the tree. */
  virtual std::string next(size_t size) = 0;

  /** Lets go of all descriptors. */
  virtual void close() = 0;
};

/** The header has promised a size: a file that shrinks meanwhile is an error, one that grows is cut. */
class PackedFile {
 public:
  PackedFile() = default;
  PackedFile(UniqueFd fd, std::string path, uint64_t size);

  bool isOpen() const { return fd_.valid(); }
  /** Appends bytes until the file ends, with what fills up its last block, or `out` is `size` long. */
  void readOn(std::string& out, size_t size);

 private:
  UniqueFd fd_;
  std::string path_;
  uint64_t left_ = 0;
  size_t padding_ = 0;
};

}  // namespace ctr
