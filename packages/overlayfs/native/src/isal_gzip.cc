#include "isal_gzip.h"

#if __has_include(<isa-l/igzip_lib.h>)
#include <isa-l/igzip_lib.h>

#include <algorithm>
#include <cstring>

#include "layer_failure.h"
#include "output_buffer.h"

namespace ctr {
namespace {

struct Isal {
  decltype(&::isal_inflate_init) init = nullptr;
  decltype(&::isal_gzip_header_init) beginHeader = nullptr;
  decltype(&::isal_read_gzip_header) readHeader = nullptr;
  decltype(&::isal_inflate) inflate = nullptr;

  bool found() const { return init != nullptr && beginHeader != nullptr && readHeader != nullptr && inflate != nullptr; }
  static const Isal& get() {
    static const Isal found = [] {
      const Isal isal = load();
      return isal.found() && agrees(isal) ? isal : Isal{};
    }();
    return found;
  }

 private:
  static Isal load() {
#ifdef CTR_ISAL_LINKED
    return {::isal_inflate_init, ::isal_gzip_header_init, ::isal_read_gzip_header, ::isal_inflate};
#else
    Isal isal;
    // Never closed, as libzstd. Its version 2 is that of the structure, too, which is ours to allocate.
    static uv_lib_t library;
    if (uv_dlopen("libisal.so.2", &library) != 0) return isal;
    const auto find = [](auto& slot, const char* name) {
      void* found = nullptr;
      if (uv_dlsym(&library, name, &found) == 0) slot = reinterpret_cast<std::decay_t<decltype(slot)>>(found);
    };
    find(isal.init, "isal_inflate_init");
    find(isal.beginHeader, "isal_gzip_header_init");
    find(isal.readHeader, "isal_read_gzip_header");
    find(isal.inflate, "isal_inflate");
    return isal;
#endif
  }

  /** The library at hand has the structure of the header that this was compiled with: a few bytes come out right, and nothing is written behind. */
  static bool agrees(const Isal& isal) {
    constexpr uint8_t kHello[] = {31, 139, 8, 0, 0, 0, 0, 0, 0, 3, 203, 72, 205, 201, 201, 7, 0, 134, 166, 16, 54, 5, 0, 0, 0};
    constexpr size_t kBehind = 64 * 1024;
    constexpr uint8_t kUntouched = 0xa5;
    const std::vector<uint8_t> untouched(kBehind, kUntouched);
    // Whole words, for the structure's alignment.
    std::vector<uint64_t> memory((sizeof(inflate_state) + kBehind) / sizeof(uint64_t) + 1);
    std::memset(memory.data(), kUntouched, memory.size() * sizeof(uint64_t));
    auto* state = reinterpret_cast<inflate_state*>(memory.data());
    uint8_t out[16] = {};
    isal.init(state);
    state->crc_flag = ISAL_GZIP;
    state->next_in = const_cast<uint8_t*>(kHello);
    state->avail_in = sizeof kHello;
    state->next_out = out;
    state->avail_out = sizeof out;
    return isal.inflate(state) == ISAL_DECOMP_OK && state->block_state == ISAL_BLOCK_FINISH && state->total_out == 5 &&
           std::memcmp(out, "hello", 6) == 0 &&
           std::memcmp(reinterpret_cast<uint8_t*>(state) + sizeof(inflate_state), untouched.data(), kBehind) == 0;
  }
};

/** What a member's header is judged by before ISA-L sees it: magic, method, flags. */
constexpr size_t kHead = 4;
/** Flags that RFC 1952 reserves; zlib refuses them, ISA-L does not. */
constexpr uint8_t kReserved = 0xe0;

class IsalGzip final : public Decompressor {
 public:
  explicit IsalGzip(SpareBuffers& spare) : isal_(Isal::get()), state_(std::make_unique<inflate_state>()), out_(spare) { begin(); }

  bool feed(const uint8_t* bytes, size_t size, const TakeBytes& take) override {
    while (size > 0 && !over_) {
      if (head_size_ < kHead) {
        if (!beginsRight(*bytes)) break;
        bytes++;
        size--;
        if (head_size_ == kHead) readHeader(head_, kHead);
        continue;
      }
      const size_t part = std::min<size_t>(size, kPart);
      if (in_header_) readHeader(bytes, part);
      else if (!inflate(bytes, part, take)) return false;
      bytes += part - unread_;
      size -= part - unread_;
    }
    return true;
  }

  bool finish(const TakeBytes& take) override {
    if (members_ == 0 || (!over_ && head_size_ > 0)) refuse("gzip-cut");
    return out_.flush(take);
  }

 private:
  static constexpr size_t kPart = size_t{1} << 30;

  void begin() {
    isal_.init(state_.get());
    // What isal_inflate() does with a header that comes in pieces is to forget its flags: it is read apart.
    state_->crc_flag = ISAL_GZIP_NO_HDR_VER;
    isal_.beginHeader(&header_);
    head_size_ = 0;
    in_header_ = true;
  }

  /** False when what follows the last member is padding: zeros, as gzip(1) and node:zlib take them. Anything else is damage. */
  bool beginsRight(uint8_t byte) {
    static constexpr uint8_t kMagic[] = {0x1f, 0x8b, 8};
    if (head_size_ == 0 && members_ > 0 && byte == 0) {
      over_ = true;
      return false;
    }
    if (head_size_ < 3 ? byte != kMagic[head_size_] : (byte & kReserved) != 0) refuse("gzip-damaged");
    head_[head_size_++] = byte;
    return true;
  }

  void readHeader(const uint8_t* bytes, size_t size) {
    state_->next_in = const_cast<uint8_t*>(bytes);
    state_->avail_in = static_cast<uint32_t>(size);
    const int r = isal_.readHeader(state_.get(), &header_);
    if (r != ISAL_DECOMP_OK && (r != ISAL_END_INPUT || state_->avail_in > 0)) refuse("gzip-damaged");
    in_header_ = r != ISAL_DECOMP_OK;
    unread_ = state_->avail_in;
  }

  /** Until the input is used up or a member ends; then `unread_` bytes of it are the next member's. */
  bool inflate(const uint8_t* bytes, size_t size, const TakeBytes& take) {
    unread_ = 0;
    state_->next_in = const_cast<uint8_t*>(bytes);
    state_->avail_in = static_cast<uint32_t>(size);
    for (bool full = true; state_->avail_in > 0 || full;) {
      state_->next_out = out_.at();
      state_->avail_out = static_cast<uint32_t>(out_.room());
      const uint32_t before = state_->avail_in;
      const int r = isal_.inflate(state_.get());
      const size_t made = out_.room() - state_->avail_out;
      // It takes all or fills all, or something is wrong; never without an end.
      if (r < 0 || (made == 0 && before > 0 && state_->avail_in == before)) refuse("gzip-damaged");
      out_.filled(made);
      full = out_.isFull();
      if (full && !out_.flush(take)) return false;
      if (state_->block_state == ISAL_BLOCK_FINISH) return memberEnded(take);
    }
    return true;
  }

  /** Of what was read ahead, bytes behind the member may still be among the bits. They may have come with an earlier call. */
  bool memberEnded(const TakeBytes& take) {
    members_++;
    unread_ = state_->avail_in;
    uint8_t ahead[sizeof state_->read_in];
    const size_t held = static_cast<size_t>(std::max(state_->read_in_length, 0)) / 8;
    const uint64_t bits = state_->read_in >> (static_cast<size_t>(std::max(state_->read_in_length, 0)) % 8);
    for (size_t i = 0; i < held; i++) ahead[i] = static_cast<uint8_t>(bits >> (8 * i));
    begin();
    if (held == 0) return true;
    const size_t unread = unread_;
    const bool wanted = feed(ahead, held, take);
    unread_ = unread;
    return wanted;
  }

  const Isal& isal_;
  std::unique_ptr<inflate_state> state_;
  isal_gzip_header header_{};
  OutputBuffer out_;
  bool in_header_ = true;
  uint8_t head_[kHead];
  size_t head_size_ = 0;
  size_t unread_ = 0;
  size_t members_ = 0;
  bool over_ = false;
};

}  // namespace

bool isalPresent() { return Isal::get().found(); }
std::unique_ptr<Decompressor> isalGzip(SpareBuffers& spare) { return std::make_unique<IsalGzip>(spare); }

}  // namespace ctr

#else

namespace ctr {

bool isalPresent() { return false; }
std::unique_ptr<Decompressor> isalGzip(SpareBuffers&) { return nullptr; }

}  // namespace ctr

#endif
