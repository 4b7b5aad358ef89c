#include "zstd_frames.h"

#include <new>
#include <type_traits>

#include "layer_failure.h"
#include "output_buffer.h"

namespace ctr {
namespace {

/** 2^27 bytes, as the zstd program allows without --long: a frame may not ask for more memory. */
constexpr int kWindowLog = 27;

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
  explicit ZstdFrames(SpareBuffers& spare) : z_(Zstd::get()), context_(z_.create()), out_(spare) {
    if (context_ == nullptr) throw std::bad_alloc();
    z_.set(context_, 100, kWindowLog);  // ZSTD_d_windowLogMax
  }
  ~ZstdFrames() override { z_.destroy(context_); }

  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override {
    Zstd::In in{bytes, size, 0};
    // Also with all input taken: what is still inside comes out as long as it fills the buffer.
    for (bool full = true; in.pos < in.size || full;) {
      Zstd::Out to{out_.at(), out_.room(), 0};
      left_ = z_.decompress(context_, &to, &in);
      if (z_.isError(left_) != 0) refuse("zstd-damaged");
      out_.filled(to.pos);
      full = out_.isFull();
      if (full && !out_.flush(take)) return false;
    }
    return true;
  }

  bool finish(const TakeBytes& take) override {
    if (left_ != 0) refuse("zstd-cut");
    return out_.flush(take);
  }

 private:
  const Zstd& z_;
  void* context_;
  OutputBuffer out_;
  size_t left_ = 0;
};

}  // namespace

bool zstdPresent() { return Zstd::get().present(); }
std::unique_ptr<Decompressor> zstdFrames(SpareBuffers& spare) { return std::make_unique<ZstdFrames>(spare); }

}  // namespace ctr
