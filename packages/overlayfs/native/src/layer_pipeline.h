// A compressed layer on its way to the disk, over two threads:
//
//   JS ──write──> [1 MiB] ──> thread A: sha256, inflate ──> [3 MiB] ──> thread B: sha256, tar, form ──> disk
//
// The archive's hash is thread A's where making files takes thread B longer than all else takes thread A.
// JS only hands over; nothing of it waits for a hash or a disk.
#pragma once
#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include "bounded_queue.h"
#include "decompressor.h"
#include "layer_builder.h"
#include "layer_limits.h"

namespace ctr {

/** What the layer must turn out to be; an empty digest and a size of 0 are not compared. */
struct Expected {
  std::string digest;
  uint64_t size = 0;
  std::string diff_id;
};

class LayerPipeline {
 public:
  struct Outcome {
    LayerBuilder::Outcome layer;
    std::string digest;
    uint64_t size = 0;
    std::string diff_id;
  };

  /** `drained` is called on thread A when there is room again, and when it failed. */
  LayerPipeline(std::unique_ptr<LayerBuilder> builder, Expected expected, uint64_t max_ratio, GzipBy by, std::function<void()> drained)
      : builder_(std::move(builder)), expected_(std::move(expected)), max_ratio_(max_ratio), by_(by), drained_(std::move(drained)) {}
  ~LayerPipeline() { abortQuietly(); }

  void start();
  enum class Taken { roomLeft, full, stopped };
  /** Takes the bytes; when `full` the caller waits for `drained`. When `stopped` something failed: end() says what. */
  Taken write(Bytes&& bytes);
  /** Uncompressed bytes so far. */
  uint64_t unpacked() const { return output_bytes_; }
  /** No more bytes will come: waits until all is done. Throws what failed on either thread; abort() then removes what was made. */
  Outcome end();
  /** Stops both threads and removes what was made. */
  void abort();
  /** The same, when nobody is left to be told what fails. */
  void abortQuietly() noexcept;

 private:
  void inflate();
  void store();
  void storeAll();
  void fail();
  void rethrowBadArchive();
  void join();

  std::unique_ptr<LayerBuilder> builder_;
  Expected expected_;
  uint64_t max_ratio_;
  GzipBy by_;
  std::function<void()> drained_;
  BoundedQueue input_{1 << 20};
  BoundedQueue output_{3 << 20};
  /** What thread B has read, thread A fills again. */
  SpareBuffers spare_{512 << 10};
  std::atomic<uint64_t> input_bytes_{0};
  std::atomic<uint64_t> output_bytes_{0};
  std::atomic<bool> waiting_{false};
  /** Thread A came to the end of its input, and it was whole. */
  std::atomic<bool> complete_{false};
  Mutex failure_mutex_;
  std::exception_ptr failure_;
  /** What is in the blob is no archive that can be unpacked; told once the blob is known to be the right one. */
  std::exception_ptr bad_archive_;
  Outcome outcome_{};
  Thread inflating_, storing_;
};

}  // namespace ctr
