#include "gzip_compressor.h"

#include <zlib.h>

#include <cstring>
#include <new>
#include <vector>

#include "layer_failure.h"
#include "uv_sync.h"

#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l/igzip_lib.h>
#define CTR_HAS_ISAL_HEADER
#endif

namespace ctr {
namespace {

constexpr size_t kRoom = 128 * 1024;

/** Lets `fill` write behind what `out` has; it returns how much it wrote. */
template <typename F>
size_t extend(std::string& out, F fill) {
  const size_t had = out.size();
  out.resize(had + kRoom);
  const size_t made = fill(reinterpret_cast<uint8_t*>(out.data()) + had);
  out.resize(had + made);
  return made;
}

#ifdef CTR_HAS_ISAL_HEADER
struct IsalDeflate {
  decltype(&::isal_deflate_init) init = nullptr;
  decltype(&::isal_deflate) deflate = nullptr;

  bool found() const { return init != nullptr && deflate != nullptr; }
  static const IsalDeflate& get() {
    static const IsalDeflate found = [] {
      const IsalDeflate isal = load();
      return isal.found() && agrees(isal) ? isal : IsalDeflate{};
    }();
    return found;
  }

  static void prepare(const IsalDeflate& isal, isal_zstream& stream, std::vector<uint8_t>& level) {
    isal.init(&stream);
    level.resize(ISAL_DEF_LVL1_DEFAULT);
    stream.level = 1;
    stream.level_buf = level.data();
    stream.level_buf_size = static_cast<uint32_t>(level.size());
    stream.gzip_flag = IGZIP_GZIP;
  }

 private:
  static IsalDeflate load() {
#ifdef CTR_ISAL_LINKED
    return {::isal_deflate_init, ::isal_deflate};
#else
    IsalDeflate isal;
    // As in isal_gzip.cc: never closed, and its version 2 is that of the structure, which is ours to allocate.
    static uv_lib_t library;
    if (uv_dlopen("libisal.so.2", &library) != 0) return isal;
    void* found = nullptr;
    if (uv_dlsym(&library, "isal_deflate_init", &found) == 0) isal.init = reinterpret_cast<decltype(isal.init)>(found);
    if (uv_dlsym(&library, "isal_deflate", &found) == 0) isal.deflate = reinterpret_cast<decltype(isal.deflate)>(found);
    return isal;
#endif
  }

  /** The library at hand has the structure that this was compiled with: a word comes out with its checksum, and nothing is written behind. */
  static bool agrees(const IsalDeflate& isal) {
    constexpr uint8_t kTrailer[] = {134, 166, 16, 54, 5, 0, 0, 0};  // of "hello"
    constexpr size_t kBehind = 64 * 1024;
    constexpr uint8_t kUntouched = 0xa5;
    std::vector<uint64_t> memory((sizeof(isal_zstream) + kBehind) / sizeof(uint64_t) + 1);
    std::memset(memory.data(), kUntouched, memory.size() * sizeof(uint64_t));
    auto* stream = reinterpret_cast<isal_zstream*>(memory.data());
    std::vector<uint8_t> level;
    uint8_t out[64] = {};
    char hello[] = "hello";
    prepare(isal, *stream, level);
    stream->next_in = reinterpret_cast<uint8_t*>(hello);
    stream->avail_in = 5;
    stream->end_of_stream = 1;
    stream->next_out = out;
    stream->avail_out = sizeof out;
    if (isal.deflate(stream) != COMP_OK || stream->internal_state.state != ZSTATE_END || stream->total_out < 18 || stream->total_out > sizeof out) return false;
    const std::vector<uint8_t> untouched(kBehind, kUntouched);
    return out[0] == 0x1f && out[1] == 0x8b && std::memcmp(out + stream->total_out - 8, kTrailer, 8) == 0 &&
           std::memcmp(reinterpret_cast<uint8_t*>(stream) + sizeof(isal_zstream), untouched.data(), kBehind) == 0;
  }
};

class IsalCompressor final : public Compressor {
 public:
  IsalCompressor() { IsalDeflate::prepare(isal_, *stream_, level_); }

  void feed(const uint8_t* bytes, size_t size, std::string& out) override {
    constexpr size_t kPart = size_t{1} << 30;
    for (; size > 0;) {
      const size_t part = size < kPart ? size : kPart;
      stream_->next_in = const_cast<uint8_t*>(bytes);
      stream_->avail_in = static_cast<uint32_t>(part);
      do run(out);
      while (stream_->avail_in > 0 || stream_->avail_out == 0);
      bytes += part;
      size -= part;
    }
  }

  void finish(std::string& out) override {
    stream_->end_of_stream = 1;
    stream_->avail_in = 0;
    do run(out);
    while (stream_->internal_state.state != ZSTATE_END);
  }

 private:
  void run(std::string& out) {
    extend(out, [this](uint8_t* at) {
      stream_->next_out = at;
      stream_->avail_out = kRoom;
      if (isal_.deflate(stream_.get()) != COMP_OK) throw std::bad_alloc();
      return kRoom - stream_->avail_out;
    });
  }

  const IsalDeflate& isal_ = IsalDeflate::get();
  std::unique_ptr<isal_zstream> stream_ = std::make_unique<isal_zstream>();
  std::vector<uint8_t> level_;
};

std::unique_ptr<Compressor> isalCompressor() { return IsalDeflate::get().found() ? std::make_unique<IsalCompressor>() : nullptr; }
#else
std::unique_ptr<Compressor> isalCompressor() { return nullptr; }
#endif

/** Nothing is linked: the Node binary exports it. */
struct ZlibDeflate {
  decltype(&::deflateInit2_) init = exportedByNode<decltype(&::deflateInit2_)>("deflateInit2_");
  decltype(&::deflate) deflate = exportedByNode<decltype(&::deflate)>("deflate");
  decltype(&::deflateEnd) end = exportedByNode<decltype(&::deflateEnd)>("deflateEnd");

  bool found() const { return init != nullptr && deflate != nullptr && end != nullptr; }
};

class ZlibCompressor final : public Compressor {
 public:
  explicit ZlibCompressor(const ZlibDeflate& z) : z_(z) {
    if (z_.init(&stream_, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION, sizeof stream_) != Z_OK) throw std::bad_alloc();
  }
  ~ZlibCompressor() override { z_.end(&stream_); }
  ZlibCompressor(const ZlibCompressor&) = delete;
  ZlibCompressor& operator=(const ZlibCompressor&) = delete;

  void feed(const uint8_t* bytes, size_t size, std::string& out) override {
    stream_.next_in = const_cast<uint8_t*>(bytes);
    stream_.avail_in = static_cast<uInt>(size);
    do run(Z_NO_FLUSH, out);
    while (stream_.avail_in > 0 || stream_.avail_out == 0);
  }

  void finish(std::string& out) override {
    stream_.avail_in = 0;
    while (run(Z_FINISH, out) != Z_STREAM_END) continue;
  }

 private:
  int run(int flush, std::string& out) {
    int result = Z_OK;
    extend(out, [&](uint8_t* at) {
      stream_.next_out = at;
      stream_.avail_out = kRoom;
      result = z_.deflate(&stream_, flush);
      return kRoom - stream_.avail_out;
    });
    return result;
  }

  const ZlibDeflate& z_;
  z_stream stream_{};
};

}  // namespace

std::unique_ptr<Compressor> gzipCompressor() {
  if (auto isal = isalCompressor()) return isal;
  static const ZlibDeflate zlib;
  if (!zlib.found()) refuse("no-compressor");
  return std::make_unique<ZlibCompressor>(zlib);
}

}  // namespace ctr
