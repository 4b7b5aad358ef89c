// The directory is ours from the moment that we found it empty until it is complete: only in between is it removed.
#include "layer_extractor.h"

#include <dirent.h>

#include "remove_tree.h"

namespace ctr {
namespace {

/** The root is seen by users of the container when it is mounted without an upper directory. */
constexpr mode_t kRootMode = 0755;

bool isEmpty(int fd, const std::string& path) {
  // getdents64 gives "." and ".." (24 bytes each) in any order; a third entry means not empty.
  char buffer[4096];
  const long size = check(::syscall(SYS_getdents64, fd, buffer, sizeof buffer), "getdents64", path);
  return size <= 48;
}

}  // namespace

void LayerExtractor::open() {
  if (::mkdir(directory_.c_str(), kRootMode) < 0 && errno != EEXIST) check(-1, "mkdir", directory_);
  UniqueFd root(check(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "open", directory_));
  // Somebody's files are neither mixed with a layer nor removed by abort().
  if (!isEmpty(root.get(), directory_)) throw SyscallFailure{ENOTEMPTY, "mkdir", directory_};
  ours_ = true;
  check(::fchmod(root.get(), kRootMode), "fchmod", directory_);
  writer_ = std::make_unique<EntryWriter>(std::move(root), user_xattrs_, limits_);
  reader_ = std::make_unique<TarReader>(*writer_, limits_);
}

void LayerExtractor::write(const uint8_t* bytes, size_t size) { reader_->write(bytes, size); }

LayerExtractor::Outcome LayerExtractor::end() {
  reader_->end();
  writer_->finishDirectories();
  const Outcome outcome{writer_->stats(), reader_->sawEndMarker()};
  ours_ = false;
  reader_.reset();
  writer_.reset();
  return outcome;
}

void LayerExtractor::abort() {
  reader_.reset();
  writer_.reset();
  if (!ours_) return;
  ours_ = false;
  removeTree(directory_);
}

}  // namespace ctr
