#include "zlib_gzip.h"

#include <zlib.h>

#include <new>

#include "layer_failure.h"
#include "output_buffer.h"

namespace ctr {
namespace {

/** Nothing is linked: the Node binary exports it. */
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

class ZlibGzip final : public Decompressor {
 public:
  explicit ZlibGzip(SpareBuffers& spare) : z_(Zlib::get()), out_(spare) {
    if (z_.init(&stream_, 16 + MAX_WBITS, ZLIB_VERSION, sizeof stream_) != Z_OK) throw std::bad_alloc();
  }
  ~ZlibGzip() override { z_.end(&stream_); }

  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override {
    stream_.next_in = const_cast<uint8_t*>(bytes);
    stream_.avail_in = static_cast<uInt>(size);
    while (stream_.avail_in > 0 && !over_) {
      if (member_ended_ && !nextMember()) break;
      stream_.next_out = out_.at();
      stream_.avail_out = static_cast<uInt>(out_.room());
      const int r = z_.inflate(&stream_, Z_NO_FLUSH);
      out_.filled(out_.room() - stream_.avail_out);
      if (r == Z_STREAM_END) member_ended_ = true;
      else if (r != Z_OK && r != Z_BUF_ERROR) refuse("gzip-damaged");
      if (out_.isFull() && !out_.flush(take)) return false;
    }
    return true;
  }

  bool finish(const TakeBytes& take) override {
    if (!member_ended_) refuse("gzip-cut");
    return out_.flush(take);
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

  const Zlib& z_;
  z_stream stream_{};
  OutputBuffer out_;
  bool member_ended_ = false;
  bool over_ = false;
};

}  // namespace

bool zlibPresent() { return Zlib::get().present(); }
std::unique_ptr<Decompressor> zlibGzip(SpareBuffers& spare) { return std::make_unique<ZlibGzip>(spare); }

}  // namespace ctr
