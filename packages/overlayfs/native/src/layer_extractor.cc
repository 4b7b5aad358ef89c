#include "layer_extractor.h"

namespace ctr {

void LayerExtractor::open() {
  UniqueFd root = directory_.open();
  held_ = UniqueFd(check(::fcntl(root.get(), F_DUPFD_CLOEXEC, 3), "fcntl", directory_.path()));
  writer_ = std::make_unique<EntryWriter>(std::move(root), user_xattrs_, limits_);
  reader_ = std::make_unique<TarReader>(*writer_, limits_);
}

LayerExtractor::Outcome LayerExtractor::end() {
  reader_->end();
  writer_->finishDirectories();
  const Outcome outcome{writer_->stats(), reader_->sawEndMarker()};
  // The file system as a whole: tens of thousands of fsync(2) would cost more than everything before.
  if (sync_) check(::syncfs(held_.get()), "syncfs", directory_.path());
  directory_.keep();
  abort();
  return outcome;
}

void LayerExtractor::abort() {
  reader_.reset();
  writer_.reset();
  held_.reset();
  directory_.discard();
}

}  // namespace ctr
