// The directory that a layer is written to: ours from the moment that we found it empty until it is complete. Only in
// between is it removed.
#pragma once
#include <string>
#include <utility>

#include "unique_fd.h"

namespace ctr {

class LayerDirectory {
 public:
  explicit LayerDirectory(std::string path) : path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  /** Makes it, or takes it when it is there and empty; its mode is 0755 then. */
  UniqueFd open();
  /** It is complete: from now on the caller's. */
  void keep() { ours_ = false; }
  /** Removes it when it is ours. */
  void discard();

 private:
  std::string path_;
  bool ours_ = false;
};

}  // namespace ctr
