// One reading of every archive, and the strict one: where GNU tar, Go and POSIX disagree, the entry is refused.
#include "tar_reader.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

#include "layer_failure.h"

namespace ctr {
namespace {

constexpr uint64_t kMaxGlobalHeaders = 100;

EntryKind kindOf(const TarHeader& h, const std::string& path) {
  switch (h.type) {
    case '\0':
      // V7 has no directories of their own: a name that ends in a slash is one.
      return path.ends_with('/') ? EntryKind::directory : EntryKind::file;
    case '0':
    case '7':
      return EntryKind::file;
    case '1':
      return EntryKind::hardlink;
    case '2':
      return EntryKind::symlink;
    case '3':
      return EntryKind::character_device;
    case '4':
      return EntryKind::block_device;
    case '5':
      return EntryKind::directory;
    case '6':
      return EntryKind::fifo;
    case 'S':  // GNU tar's old sparse files
      return EntryKind::file;
    default:
      refuse("entry-type", path);
  }
}

uint32_t owner(int64_t value, const std::string& path) {
  if (value < 0 || value >= int64_t{UINT32_MAX}) refuse("owner", path);
  return static_cast<uint32_t>(value);
}

uint32_t deviceNumber(int64_t value, int64_t bits, const std::string& path) {
  if (value < 0 || value >= int64_t{1} << bits) refuse("device-number", path);
  return static_cast<uint32_t>(value);
}

}  // namespace

void TarReader::write(const uint8_t* bytes, size_t size) {
  consumed_ += size;
  if (consumed_ > limits_.bytes) overLimit("bytes", current_);
  while (size > 0 && state_ != State::ended) {
    size_t used = 0;
    const State state = state_;
    switch (state) {
      case State::header:
      case State::sparse_block:
        used = takeHeader(bytes, size);
        break;
      case State::extended:
        used = takeExtended(bytes, size);
        break;
      case State::sparse_text:
        used = takeSparseText(bytes, size);
        break;
      case State::body:
        used = takeBody(bytes, size);
        break;
      default:
        used = takePadding(size);
    }
    if (state != State::header && state != State::sparse_block) position_ += used;
    bytes += used;
    size -= used;
  }
}

void TarReader::end() const {
  const bool at_border = state_ == State::ended || (state_ == State::header && filled_ == 0);
  if (!at_border) refuse("cut", current_);
  if (pending()) refuse("extended-without-entry");
}

size_t TarReader::takeHeader(const uint8_t* bytes, size_t size) {
  const size_t used = std::min(size, block_.size() - filled_);
  std::memcpy(block_.data() + filled_, bytes, used);
  filled_ += used;
  position_ += used;
  if (filled_ == block_.size()) {
    filled_ = 0;
    if (state_ == State::sparse_block) onSparseBlock();
    else onBlock();
  }
  return used;
}

size_t TarReader::takeExtended(const uint8_t* bytes, size_t size) {
  const size_t used = static_cast<size_t>(std::min<uint64_t>(size, remaining_));
  extended_.append(reinterpret_cast<const char*>(bytes), used);
  remaining_ -= used;
  if (remaining_ == 0) {
    endExtended();
    afterData();
  }
  return used;
}

size_t TarReader::takeBody(const uint8_t* bytes, size_t size) {
  const size_t used = static_cast<size_t>(std::min<uint64_t>(size, remaining_));
  sink_.data(bytes, used);
  remaining_ -= used;
  if (remaining_ == 0) {
    sink_.finish();
    afterData();
  }
  return used;
}

size_t TarReader::takePadding(size_t size) {
  const size_t used = static_cast<size_t>(std::min<uint64_t>(size, padding_));
  padding_ -= used;
  if (padding_ == 0) state_ = State::header;
  return used;
}

void TarReader::afterData() { state_ = padding_ > 0 ? State::padding : State::header; }

void TarReader::onBlock() {
  if (isZeroBlock(block_.data())) return onZeroBlock();
  if (zero_seen_) refuse("lone-zero-block");
  TarHeader header = parseTarHeader(block_.data());
  if (header.size < 0) refuse("negative-size", header.name);
  if (std::strchr("xgLK", header.type) != nullptr && header.type != '\0') return beginExtended(header);
  onEntry(std::move(header));
}

void TarReader::onZeroBlock() {
  if (pending()) refuse("extended-without-entry");
  if (zero_seen_) state_ = State::ended;
  zero_seen_ = true;
}

void TarReader::beginExtended(const TarHeader& header) {
  // A second header of one kind for one entry is read differently by different tools, and endless ones never end.
  const bool again = (header.type == 'x' && pax_) || (header.type == 'L' && long_name_) || (header.type == 'K' && long_link_);
  if (again) refuse("extended-twice", current_);
  if (header.type == 'g' && ++globals_ > kMaxGlobalHeaders) overLimit("global-headers", current_);
  const bool name = header.type == 'L' || header.type == 'K';
  const uint64_t size = static_cast<uint64_t>(header.size);
  // GNU's long names end in a NUL that belongs to the size.
  if (name && size > limits_.path_bytes + 1) overLimit("path-length", current_);
  if (size > limits_.header_bytes) overLimit("header-size", current_);
  if (name && size == 0) refuse("extended-empty", current_);
  extended_type_ = header.type;
  extended_.clear();
  if (size == 0) return endExtended();
  remaining_ = size;
  padding_ = (kBlock - size % kBlock) % kBlock;
  state_ = State::extended;
}

void TarReader::endExtended() {
  switch (extended_type_) {
    case 'x':
      pax_ = parsePax(extended_, limits_, current_);
      break;
    case 'g':
      checkGlobalPax(extended_, current_);
      break;
    case 'L':
      keepLongName(long_name_);
      break;
    default:
      keepLongName(long_link_);
  }
}

void TarReader::keepLongName(std::optional<std::string>& slot) {
  const size_t nul = extended_.find('\0');
  if (nul != std::string::npos && extended_.find_first_not_of('\0', nul) != std::string::npos) refuse("pax-nul", current_);
  slot = extended_.substr(0, nul);
}

std::string TarReader::mergedPath(const TarHeader& header) const {
  // Go lets the GNU name win, GNU tar the PAX name: both at once only when they agree.
  if (long_name_ && pax_ && pax_->path && *long_name_ != *pax_->path) refuse("two-names", *long_name_);
  if (long_name_) return *long_name_;
  // What stands in "path" is a name for tools that know no sparse files.
  if (pax_ && pax_->sparse && pax_->sparse->name) return *pax_->sparse->name;
  return pax_ && pax_->path ? *pax_->path : header.name;
}

TarEntry TarReader::merge(TarHeader&& h) {
  TarEntry e;
  e.path = mergedPath(h);
  if (long_link_ && pax_ && pax_->link && *long_link_ != *pax_->link) refuse("two-names", e.path);
  e.link = long_link_ ? *long_link_ : pax_ && pax_->link ? *pax_->link : h.link;
  e.kind = kindOf(h, e.path);
  e.mode = h.mode;
  e.uid = pax_ && pax_->uid ? *pax_->uid : owner(h.uid, e.path);
  e.gid = pax_ && pax_->gid ? *pax_->gid : owner(h.gid, e.path);
  e.size = pax_ && pax_->size ? *pax_->size : static_cast<uint64_t>(h.size);  // SECURITY: the PAX size always wins
  e.mtime = h.mtime;
  if (pax_ && pax_->mtime) std::tie(e.mtime, e.mtime_ns) = *pax_->mtime;
  e.major = deviceNumber(h.major, 12, e.path);
  e.minor = deviceNumber(h.minor, 20, e.path);
  if (pax_) e.xattrs = std::move(pax_->xattrs);
  return e;
}

void TarReader::onEntry(TarHeader&& header) {
  current_ = header.name;
  // A volume label of GNU tar names the archive, nothing in it.
  if (header.type == 'V' && header.size == 0 && !pending()) return;
  const bool old_sparse = header.type == 'S';
  TarEntry entry = merge(std::move(header));
  const std::optional<PaxSparse> sparse = pax_ ? std::move(pax_->sparse) : std::nullopt;
  pax_.reset();
  long_name_.reset();
  long_link_.reset();
  current_ = entry.path;
  if (++entries_ > limits_.entries) overLimit("entries", current_);
  // GNU tar skips a body here that Go does not skip: what follows would be two different archives.
  if (entry.kind != EntryKind::file && entry.size > 0) refuse("size-without-data", current_);
  entry.data_at = position_;
  entry.real_size = entry.size;
  remaining_ = entry.size;
  padding_ = (kBlock - entry.size % kBlock) % kBlock;
  if (!old_sparse && !sparse) return beginBody(std::move(entry));
  // Two maps for one file, or one for what is none.
  if (entry.kind != EntryKind::file || (old_sparse && sparse)) refuse("sparse", current_);
  held_ = std::move(entry);
  if (sparse) {
    const bool text = sparse->isVersion1(current_);
    held_.real_size = *sparse->size;
    if (!text) return beginSparse(sparse->numbers, position_);
    sparse_text_.emplace(current_);
    sparse_text_bytes_ = 0;
    if (remaining_ == 0) refuse("sparse-map", current_);
    state_ = State::sparse_text;
    return;
  }
  held_.real_size = oldSparseSize(block_.data(), current_);
  sparse_numbers_.clear();
  if (!readOldSparse(block_.data(), false, sparse_numbers_, current_)) return beginSparse(sparse_numbers_, position_);
  state_ = State::sparse_block;
}

void TarReader::onSparseBlock() {
  if (readOldSparse(block_.data(), true, sparse_numbers_, current_)) return;
  beginSparse(sparse_numbers_, position_);
}

/** The map is padded to a block's border; the content follows. */
size_t TarReader::takeSparseText(const uint8_t* bytes, size_t size) {
  const size_t most = static_cast<size_t>(std::min<uint64_t>(size, remaining_));
  for (size_t used = 0; used < most;) {
    if (!sparse_text_->complete()) sparse_text_->take(static_cast<char>(bytes[used]));
    used++;
    remaining_--;
    if (++sparse_text_bytes_ % kBlock != 0 || !sparse_text_->complete()) continue;
    const SparseText text = *std::exchange(sparse_text_, std::nullopt);
    beginSparse(text.numbers, position_ + used);
    return used;
  }
  if (remaining_ == 0) refuse("sparse-map", current_);
  return most;
}

void TarReader::beginSparse(const SparseNumbers& numbers, uint64_t at) {
  TarEntry entry = std::exchange(held_, {});
  entry.data_at = at;
  entry.size = remaining_;
  entry.extents = sparseExtents(numbers, entry.real_size, remaining_, at, current_);
  regions_ += entry.extents.size();
  if (regions_ > kMaxRegions) overLimit("sparse-regions", current_);
  // Holes cost no room here, but whoever reads the file gets them; and no sum of two sizes is more than 64 bits can say.
  holes_ += std::min(entry.real_size - entry.size, limits_.bytes);
  if (holes_ >= limits_.bytes) overLimit("bytes", current_);
  sparse_numbers_ = {};
  beginBody(std::move(entry));
}

void TarReader::beginBody(TarEntry&& entry) {
  sink_.begin(std::move(entry));
  state_ = State::body;
  if (remaining_ == 0) {
    sink_.finish();
    afterData();
  }
}

}  // namespace ctr
