#include "decompressor.h"

#include <zlib.h>

#include <algorithm>
#include <cstring>

#include "layer_failure.h"
#include "uv_sync.h"

namespace ctr {
namespace {

constexpr size_t kChunk = 512 * 1024;
/** 2^27 bytes, as the zstd program allows without --long: a frame may not ask for more memory. */
constexpr int kZstdWindowLog = 27;

class Plain final : public Decompressor {
 public:
  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override { return take(Bytes(bytes, bytes + size)); }
  bool finish(const TakeBytes&) override { return true; }
};

/** zlib as the Node binary exports it, which is Chromium's with its vector code. */
struct Zlib {
  decltype(&::inflateInit2_) init = nullptr;
  decltype(&::inflate) inflate = nullptr;
  decltype(&::inflateReset) reset = nullptr;
  decltype(&::inflateEnd) end = nullptr;

  static const Zlib& get() {
    static const Zlib found = [] {
      Zlib z;
      z.init = exportedByNode<decltype(z.init)>("inflateInit2_");
      z.inflate = exportedByNode<decltype(z.inflate)>("inflate");
      z.reset = exportedByNode<decltype(z.reset)>("inflateReset");
      z.end = exportedByNode<decltype(z.end)>("inflateEnd");
      return z;
    }();
    return found;
  }
  bool present() const { return init != nullptr && inflate != nullptr && reset != nullptr && end != nullptr; }
};

class Gzip final : public Decompressor {
 public:
  Gzip() : z_(Zlib::get()) {
    if (z_.init(&stream_, 16 + MAX_WBITS, ZLIB_VERSION, sizeof stream_) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() override { z_.end(&stream_); }

  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override {
    stream_.next_in = const_cast<uint8_t*>(bytes);
    stream_.avail_in = static_cast<uInt>(size);
    while (stream_.avail_in > 0 && !over_) {
      if (member_ended_ && !nextMember()) break;
      if (out_.empty()) out_.resize(kChunk);
      stream_.next_out = out_.data() + filled_;
      stream_.avail_out = static_cast<uInt>(out_.size() - filled_);
      const int r = z_.inflate(&stream_, Z_NO_FLUSH);
      filled_ = out_.size() - stream_.avail_out;
      if (r == Z_STREAM_END) member_ended_ = true;
      else if (r != Z_OK && r != Z_BUF_ERROR) refuse("gzip-damaged");
      if (filled_ == out_.size() && !flush(take)) return false;
    }
    return true;
  }

  bool finish(const TakeBytes& take) override {
    if (!member_ended_) refuse("gzip-cut");
    return flush(take);
  }

 private:
  /** Members follow each other; zeros behind the last are padding, as gzip(1) and node:zlib take them. Anything else is damage. */
  bool nextMember() {
    if (*stream_.next_in == 0) {
      over_ = true;
      return false;
    }
    member_ended_ = false;
    return z_.reset(&stream_) == Z_OK;
  }

  bool flush(const TakeBytes& take) {
    if (filled_ == 0) return true;
    out_.resize(filled_);
    filled_ = 0;
    return take(std::exchange(out_, {}));
  }

  const Zlib& z_;
  z_stream stream_{};
  Bytes out_;
  size_t filled_ = 0;
  bool member_ended_ = false;
  bool over_ = false;
};

/** The stable part of libzstd's interface, <zstd.h>; the library is every distribution's. */
struct Zstd {
  struct In {
    const void* src;
    size_t size;
    size_t pos;
  };
  struct Out {
    void* dst;
    size_t size;
    size_t pos;
  };
  void* (*create)() = nullptr;
  size_t (*destroy)(void*) = nullptr;
  size_t (*set)(void*, int, int) = nullptr;
  size_t (*decompress)(void*, Out*, In*) = nullptr;
  unsigned (*isError)(size_t) = nullptr;

  static const Zstd& get() {
    static const Zstd found = [] {
      Zstd z;
      // Never closed: a library that is taken away under a running thread ends the process.
      static uv_lib_t library;
      const bool opened = uv_dlopen("libzstd.so.1", &library) == 0;
      const auto find = [&](auto& slot, const char* name) {
        void* found = nullptr;
        if (opened && uv_dlsym(&library, name, &found) == 0) slot = reinterpret_cast<std::decay_t<decltype(slot)>>(found);
      };
      find(z.create, "ZSTD_createDCtx");
      find(z.destroy, "ZSTD_freeDCtx");
      find(z.set, "ZSTD_DCtx_setParameter");
      find(z.decompress, "ZSTD_decompressStream");
      find(z.isError, "ZSTD_isError");
      return z;
    }();
    return found;
  }
  bool present() const { return create != nullptr && destroy != nullptr && set != nullptr && decompress != nullptr && isError != nullptr; }
};

class ZstdFrames final : public Decompressor {
 public:
  ZstdFrames() : z_(Zstd::get()), context_(z_.create()) {
    if (context_ == nullptr) throw std::bad_alloc();
    z_.set(context_, 100, kZstdWindowLog);  // ZSTD_d_windowLogMax
  }
  ~ZstdFrames() override { z_.destroy(context_); }

  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override {
    Zstd::In in{bytes, size, 0};
    // Also with all input taken: what is still inside comes out as long as it fills the buffer.
    for (bool full = true; in.pos < in.size || full;) {
      if (out_.empty()) out_.resize(kChunk);
      Zstd::Out to{out_.data(), out_.size(), filled_};
      left_ = z_.decompress(context_, &to, &in);
      if (z_.isError(left_) != 0) refuse("zstd-damaged");
      filled_ = to.pos;
      full = filled_ == out_.size();
      if (full && !flush(take)) return false;
    }
    return true;
  }

  bool finish(const TakeBytes& take) override {
    if (left_ != 0) refuse("zstd-cut");
    return flush(take);
  }

 private:
  bool flush(const TakeBytes& take) {
    if (filled_ == 0) return true;
    out_.resize(filled_);
    filled_ = 0;
    return take(std::exchange(out_, {}));
  }

  const Zstd& z_;
  void* context_;
  /** Given on when it is full: a queue counts what is in it, not how much room it takes. */
  Bytes out_;
  size_t filled_ = 0;
  size_t left_ = 0;
};

}  // namespace

std::unique_ptr<Decompressor> decompressorFor(const uint8_t* head, size_t size) {
  const auto begins = [&](std::initializer_list<uint8_t> magic) { return size >= magic.size() && std::equal(magic.begin(), magic.end(), head); };
  if (begins({0x1f, 0x8b})) return Zlib::get().present() ? std::make_unique<Gzip>() : nullptr;
  // 0x184D2A50 to 0x184D2A5F are skippable frames.
  const bool skippable = size >= 4 && (head[0] & 0xf0) == 0x50 && head[1] == 0x2a && head[2] == 0x4d && head[3] == 0x18;
  if (skippable || begins({0x28, 0xb5, 0x2f, 0xfd})) return Zstd::get().present() ? std::make_unique<ZstdFrames>() : nullptr;
  return std::make_unique<Plain>();
}

Decompressors availableDecompressors() { return {Zlib::get().present() ? "zlib" : "none", Zstd::get().present() ? "libzstd" : "none"}; }

}  // namespace ctr
