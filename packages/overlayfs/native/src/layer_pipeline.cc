#include "layer_pipeline.h"

#include "layer_failure.h"
#include "sha256.h"

namespace ctr {
namespace {

/** Below this a high ratio is harmless: a file of zeros. */
constexpr uint64_t kRatioFree = uint64_t{1} << 30;

}  // namespace

void LayerPipeline::start() {
  inflating_.start([this] { inflate(); });
  storing_.start([this] { store(); });
}

LayerPipeline::Taken LayerPipeline::write(Bytes&& bytes) {
  if (!input_.pushNow(std::move(bytes))) return Taken::stopped;
  if (!input_.isFull()) return Taken::roomLeft;
  waiting_ = true;
  // It may have been emptied in between.
  return input_.hasRoom() && waiting_.exchange(false) ? Taken::roomLeft : Taken::full;
}

void LayerPipeline::inflate() {
  try {
    Sha256 hash, diff;
    std::unique_ptr<Decompressor> decompressor;
    Bytes head;
    const auto onward = [this, &diff](Bytes&& bytes) {
      if (builder_->isSlow()) diff.update(bytes.data(), bytes.size());
      return output_.push(std::move(bytes));
    };
    // Whether damaged data came damaged or was made so is for the digest to say, which covers what lies behind it, too.
    std::exception_ptr damage;
    bool wanted = true;
    while (auto chunk = input_.pop()) {
      if (waiting_ && input_.hasRoom() && waiting_.exchange(false)) drained_();
      hash.update(chunk->data(), chunk->size());
      input_bytes_ += chunk->size();
      if (expected_.size != 0 && input_bytes_ > expected_.size) refuse("blob-size");
      if (decompressor == nullptr) {
        head.insert(head.end(), chunk->begin(), chunk->end());
        if (head.size() < 4) continue;
        *chunk = std::move(head);
        decompressor = decompressorFor(chunk->data(), chunk->size(), spare_, by_);
        if (decompressor == nullptr) refuse("no-decompressor");
      }
      try {
        wanted = wanted && decompressor->feed(chunk->data(), chunk->size(), onward);
      } catch (const LayerFailure&) {
        damage = std::current_exception();
        wanted = false;
      }
    }
    if (input_.isStopped()) return;  // that was no end
    outcome_.digest = hash.digest();
    outcome_.size = input_bytes_;
    if (expected_.size != 0 && outcome_.size != expected_.size) refuse("blob-size");
    if (!expected_.digest.empty() && outcome_.digest != expected_.digest) refuse("blob-digest", outcome_.digest);
    if (damage != nullptr) std::rethrow_exception(damage);
    rethrowBadArchive();
    if (decompressor == nullptr && !head.empty()) onward(std::move(head));
    if (decompressor != nullptr) decompressor->finish(onward);
    if (builder_->isSlow()) outcome_.diff_id = diff.digest();
    complete_ = true;
    output_.close();
  } catch (...) {
    fail();
  }
  if (waiting_.exchange(false)) drained_();
}

void LayerPipeline::store() {
  try {
    storeAll();
    return;
  } catch (const LayerFailure& f) {
    if (!f.limit && !complete_) {
      // As damaged data: thread A reads on, and tells whether the blob was the right one.
      const Locked lock(failure_mutex_);
      bad_archive_ = std::current_exception();
      output_.stop();
      return;
    }
    fail();
  } catch (...) {
    fail();
  }
  if (waiting_.exchange(false)) drained_();
}

void LayerPipeline::rethrowBadArchive() {
  const Locked lock(failure_mutex_);
  if (bad_archive_ != nullptr) std::rethrow_exception(bad_archive_);
}

void LayerPipeline::storeAll() {
  Sha256 hash;
  builder_->open();
  while (auto chunk = output_.pop()) {
    const uint64_t size = output_bytes_ += chunk->size();
    if (size > kRatioFree && size / max_ratio_ > input_bytes_) overLimit("ratio");
    if (!builder_->isSlow()) hash.update(chunk->data(), chunk->size());
    builder_->write(chunk->data(), chunk->size());
    spare_.give(std::move(*chunk));
  }
  if (!complete_ || output_.isStopped()) return;
  if (!builder_->isSlow()) outcome_.diff_id = hash.digest();
  if (!expected_.diff_id.empty() && outcome_.diff_id != expected_.diff_id) refuse("diff-id", outcome_.diff_id);
  outcome_.layer = builder_->end();
}

/** The first failure is the one that is told. */
void LayerPipeline::fail() {
  {
    const Locked lock(failure_mutex_);
    if (failure_ == nullptr) failure_ = std::current_exception();
  }
  input_.stop();
  output_.stop();
}

void LayerPipeline::join() {
  inflating_.join();
  storing_.join();
}

LayerPipeline::Outcome LayerPipeline::end() {
  input_.close();
  join();
  if (failure_ != nullptr) std::rethrow_exception(failure_);
  rethrowBadArchive();
  return outcome_;
}

void LayerPipeline::abort() {
  input_.stop();
  output_.stop();
  join();
  builder_->abort();
}

void LayerPipeline::abortQuietly() noexcept {
  try {
    abort();
  } catch (...) {
  }
}

}  // namespace ctr
