#include "erofs_layer.h"

#include "erofs_image.h"
#include "sys.h"

namespace ctr {
namespace {

/** The name until the file is complete: a crash leaves nothing that could be taken for a layer. */
constexpr const char* kUnfinished = "layer.erofs.tmp";
/** SECURITY: it holds setuid programs and is only ever read through a mount. */
constexpr mode_t kFileMode = 0600;

}  // namespace

void ErofsLayer::open() {
  held_ = directory_.open();
  file_ = UniqueFd(check(::openat(held_.get(), kUnfinished, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, kFileMode), "openat", directory_.path()));
  tree_ = std::make_unique<LayerTree>(limits_);
  reader_ = std::make_unique<TarReader>(*tree_, limits_);
}

void ErofsLayer::write(const uint8_t* bytes, size_t size) {
  // Judged first: what is refused need not be written.
  reader_->write(bytes, size);
  put(bytes, size, erofs::kTarStart + tar_size_);
  tar_size_ += size;
}

ErofsLayer::Outcome ErofsLayer::end() {
  reader_->end();
  erofs::Image image = erofs::makeImage(tree_->root(), tar_size_, user_xattrs_);
  Outcome outcome{tree_->stats(), reader_->sawEndMarker()};
  outcome.stats.xattrs_dropped += image.xattrs_dropped;
  put(image.metadata.data(), image.metadata.size(), erofs::metaOffset(tar_size_));
  put(&image.super, sizeof image.super, erofs::kSuperOffset);
  if (sync_) check(::fdatasync(file_.get()), "fdatasync", directory_.path());
  check(::renameat(held_.get(), kUnfinished, held_.get(), kErofsFile), "renameat", directory_.path());
  if (sync_) check(::fsync(held_.get()), "fsync", directory_.path());
  directory_.keep();
  abort();
  return outcome;
}

void ErofsLayer::abort() {
  reader_.reset();
  tree_.reset();
  file_.reset();
  held_.reset();
  directory_.discard();
}

void ErofsLayer::put(const void* bytes, size_t size, uint64_t at) {
  const auto* from = static_cast<const uint8_t*>(bytes);
  while (size > 0) {
    const ssize_t n = check(retry([&] { return ::pwrite(file_.get(), from, size, static_cast<off_t>(at)); }), "pwrite", directory_.path());
    from += n;
    size -= static_cast<size_t>(n);
    at += static_cast<uint64_t>(n);
  }
}

}  // namespace ctr
