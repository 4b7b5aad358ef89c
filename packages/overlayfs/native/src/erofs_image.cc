// Two passes over the tree: the first gives every inode its place, since directories name inodes by place; the second writes.
//
//   inode (64) | attributes | content when it fits into the same block: short links, small directories, chunk maps
//   … all inodes, a directory before what it holds …
//   blocks of the larger directories and links
#include "erofs_image.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <unordered_map>

#include "layer_failure.h"
#include "overlay_marks.h"

namespace ctr::erofs {
namespace {

/** So that no inode number is 0, which readdir(3) takes for a deleted entry. */
constexpr uint64_t kFirst = 64;
constexpr uint64_t kNowhere = UINT64_MAX;

uint64_t roundUp(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

struct Placed {
  const Node* node;
  const Node* parent;
  uint64_t offset = 0;          // of the inode in the metadata
  uint64_t blocks = kNowhere;   // of the content in the metadata, when it lies apart
  uint32_t xattr_size = 0;
  uint32_t links = 1;
  uint64_t size = 0;
  uint8_t chunk_bits = 0;       // of a sparse file
};

/** Names by which the format abbreviates an attribute's first part. */
struct Prefix {
  std::string_view text;
  uint8_t index;
};
constexpr Prefix kPrefixes[] = {{"user.", 1}, {"trusted.", 4}, {"security.", 6}};
/** Of all sparse files: 32 MiB of maps. */
constexpr uint64_t kMaxChunks = uint64_t{8} << 20;
constexpr uint64_t kMaxXattrs = sizeof(XattrHeader) + uint64_t{UINT16_MAX - 1} * 4;

/** FNV-1a's step on a whole word, with the high bits brought down. Against chance, not against malice. */
uint64_t mix(uint64_t state, uint64_t word) {
  state = (state ^ word) * 0x100000001b3;
  return state ^ state >> 29;
}

using Xattrs = std::vector<std::pair<std::string, std::string>>;

uint64_t sizeOf(const std::string& name, const std::string& value) {
  for (const auto& p : kPrefixes)
    if (name.starts_with(p.text)) return roundUp(sizeof(XattrEntry) + name.size() - p.text.size() + value.size(), 4);
  return 0;
}

uint8_t typeOf(const Node& node) {
  switch (node.mode & S_IFMT) {
    case S_IFREG:
      return 1;
    case S_IFDIR:
      return 2;
    case S_IFCHR:
      return 3;
    case S_IFBLK:
      return 4;
    case S_IFIFO:
      return 5;
    default:
      return 7;  // a link
  }
}

class Writer {
 public:
  Writer(const Node& root, uint64_t tar_size, bool user_xattrs)
      : marks_(overlayMarks(user_xattrs)), meta_block_(metaOffset(tar_size) >> kBlockBits) {
    collect(root);
    place();
  }

  Image run() {
    out_.resize(end_);
    for (const auto& p : placed_) write(p);
    Image image{};
    image.super = superBlock();
    image.metadata = std::move(out_);
    image.xattrs_dropped = dropped_;
    return image;
  }

 private:
  /** Every inode once, a directory's children together. */
  void collect(const Node& root) {
    root_ = &root;
    add(root, root);
    for (size_t i = 0; i < placed_.size(); i++) {
      const Node& node = *placed_[i].node;
      if (node.directory == nullptr) continue;
      placed_[i].links = 2;
      for (const auto& [name, child] : node.directory->children) {
        if (child->directory != nullptr) placed_[i].links++;
        const auto known = index_.find(child);
        if (known != index_.end()) placed_[known->second].links++;
        else add(*child, node);
      }
    }
  }

  void add(const Node& node, const Node& parent) {
    if (&node != root_ && node.directory != nullptr && node.directory->implicit) any_implicit_ = true;
    index_.emplace(&node, placed_.size());
    placed_.push_back({&node, &parent});
  }

  void place() {
    uint64_t at = kFirst, chunks = 0;
    for (auto& p : placed_) {
      p.xattr_size = static_cast<uint32_t>(xattrSize(*p.node));
      p.size = contentSize(p);
      if (p.chunk_bits > 0 && (chunks += chunkCount(p)) > kMaxChunks) overLimit("sparse-chunks");
      const uint64_t tail = tailSize(p);
      const uint64_t head = sizeof(Inode) + p.xattr_size;
      at = roundUp(at, sizeof(Inode));
      // What stands behind an inode must not cross a block's border. A chunk map may, and is as long as it must be.
      const bool map = p.chunk_bits > 0;
      const auto fits = [&](uint64_t start) { return tail < kBlockSize && (start + head) % kBlockSize + tail <= kBlockSize; };
      if (tail > 0 && !map && !fits(at)) {
        const uint64_t next = roundUp(at, kBlockSize);
        if (fits(next)) at = next;
        else p.blocks = 0;  // placed below
      }
      p.offset = at;
      at += head + (p.blocks == kNowhere ? tail : 0);
    }
    at = roundUp(at, kBlockSize);
    for (auto& p : placed_) {
      if (p.blocks == kNowhere) continue;
      p.blocks = at;
      at += roundUp(p.size, kBlockSize);
    }
    end_ = roundUp(at, kBlockSize);
    if (meta_block_ + (end_ >> kBlockBits) >= kHole) overLimit("bytes");
  }

  uint64_t xattrSize(const Node& node) {
    uint64_t size = 0;
    for (const auto& [name, value] : keptXattrs(node)) size += sizeOf(name, value);
    return size == 0 ? 0 : sizeof(XattrHeader) + size;
  }

  /** overlayfs's own mark first: it must never be what there is no room for. */
  Xattrs keptXattrs(const Node& node) {
    Xattrs out;
    if (node.directory != nullptr && node.directory->opaque) out.emplace_back(marks_.opaque, "y");
    if (node.directory != nullptr && node.directory->implicit) out.emplace_back(marks_.implicit, "y");
    if (&node == root_ && any_implicit_) out.emplace_back(marks_.implicit_below, "y");
    uint64_t size = sizeof(XattrHeader) + 256;
    for (const auto& x : node.xattrs) {
      size += sizeOf(x.first, x.second);
      if (size <= kMaxXattrs) out.push_back(x);
      else if (counting_) dropped_++;
    }
    return out;
  }

  uint64_t contentSize(Placed& p) const {
    const Node& node = *p.node;
    if (node.directory != nullptr) return directorySize(node);
    if (!node.extents.empty()) p.chunk_bits = chunkBits(node);
    return node.size;
  }

  /** What may stand behind the inode: 0 for a file, whose content stands in the archive. */
  static uint64_t tailSize(const Placed& p) {
    if (p.chunk_bits > 0) return chunkCount(p) * 4;
    return p.node->isRegular() ? 0 : p.node->directory != nullptr || p.node->isSymlink() ? p.size : 0;
  }

  // Directories: blocks of entries that are sorted over all blocks; in each block the entries stand before their names.

  static std::vector<std::pair<std::string_view, const Node*>> entriesOf(const Node& node, const Node* parent) {
    std::vector<std::pair<std::string_view, const Node*>> out{{".", &node}, {"..", parent}};
    for (const auto& [name, child] : node.directory->children) out.emplace_back(name, child);
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    return out;
  }

  static uint64_t directorySize(const Node& node) {
    uint64_t blocks = 0, used = 0;
    const auto take = [&](uint64_t need) {
      if (used + need > kBlockSize) {
        blocks++;
        used = 0;
      }
      used += need;
    };
    for (const auto& [name, child] : entriesOf(node, nullptr)) take(sizeof(Dirent) + name.size());
    return blocks * kBlockSize + used;
  }

  void writeDirectory(const Placed& p, uint8_t* out) const {
    const auto entries = entriesOf(*p.node, p.parent);
    for (size_t first = 0; first < entries.size();) {
      size_t last = first, used = 0;
      while (last < entries.size() && used + sizeof(Dirent) + entries[last].first.size() <= kBlockSize) used += sizeof(Dirent) + entries[last++].first.size();
      writeDirents(entries, first, last, out);
      out += kBlockSize;
      first = last;
    }
  }

  void writeDirents(const std::vector<std::pair<std::string_view, const Node*>>& entries, size_t first, size_t last, uint8_t* out) const {
    size_t name_at = (last - first) * sizeof(Dirent);
    for (size_t i = first; i < last; i++) {
      const auto& [name, node] = entries[i];
      const Dirent entry{nidOf(*node), static_cast<uint16_t>(name_at), typeOf(*node), 0};
      std::memcpy(out + (i - first) * sizeof(Dirent), &entry, sizeof entry);
      std::memcpy(out + name_at, name.data(), name.size());
      name_at += name.size();
    }
  }

  uint64_t nidOf(const Node& node) const { return placed_[index_.at(&node)].offset / kSlot; }

  // Sparse files: a map of equal chunks, each of which is either zeros or stands in the archive.

  /** The largest power of two by which all borders between content and zeros can be divided, as bits; at least a block. */
  static uint8_t chunkBits(const Node& node) {
    uint64_t all = 0;
    for (const auto& e : node.extents)
      if (e.size > 0) all |= e.offset | (e.offset + e.size == node.size ? 0 : e.size);
    uint8_t bits = kBlockBits;
    while (bits < kBlockBits + 31 && (all >> bits & 1) == 0 && (uint64_t{1} << bits) < node.size) bits++;
    return bits;
  }

  static uint64_t chunkCount(const Placed& p) { return (p.size + (uint64_t{1} << p.chunk_bits) - 1) >> p.chunk_bits; }

  static void writeChunks(const Placed& p, uint8_t* out) {
    std::vector<uint32_t> map(chunkCount(p), kHole);
    for (const auto& e : p.node->extents) {
      const uint64_t chunk = uint64_t{1} << p.chunk_bits;
      for (uint64_t at = 0; at < e.size; at += chunk)
        map[(e.offset + at) >> p.chunk_bits] = static_cast<uint32_t>((kTarStart + e.at + at) >> kBlockBits);
    }
    if (!map.empty()) std::memcpy(out, map.data(), map.size() * sizeof(uint32_t));
  }

  void write(const Placed& p) {
    const Node& node = *p.node;
    Inode inode{};
    const bool apart = p.blocks != kNowhere;
    const bool inlined = !apart && p.chunk_bits == 0 && tailSize(p) > 0;
    const Layout layout = p.chunk_bits > 0 ? kChunkBased : inlined ? kFlatInline : kFlatPlain;
    inode.format = static_cast<uint16_t>(1 | layout << 1);
    inode.xattr_count = p.xattr_size == 0 ? 0 : static_cast<uint16_t>((p.xattr_size - sizeof(XattrHeader)) / 4 + 1);
    inode.mode = static_cast<uint16_t>(node.mode);
    inode.size = S_ISCHR(node.mode) || S_ISBLK(node.mode) || S_ISFIFO(node.mode) ? 0 : p.size;
    inode.place = placeOf(p, apart);
    inode.ino = static_cast<uint32_t>(p.offset / kSlot);
    inode.uid = node.uid;
    inode.gid = node.gid;
    inode.mtime = static_cast<uint64_t>(node.mtime);
    inode.mtime_ns = node.mtime_ns;
    inode.nlink = p.links;
    uint8_t* at = out_.data() + p.offset;
    std::memcpy(at, &inode, sizeof inode);
    writeXattrs(node, at + sizeof inode);
    uint8_t* content = apart ? out_.data() + p.blocks : at + sizeof inode + p.xattr_size;
    if (node.directory != nullptr) writeDirectory(p, content);
    else if (node.isSymlink()) std::memcpy(content, node.link.data(), node.link.size());
    else if (p.chunk_bits > 0) writeChunks(p, content);
  }

  uint32_t placeOf(const Placed& p, bool apart) const {
    const Node& node = *p.node;
    if (apart) return static_cast<uint32_t>(meta_block_ + (p.blocks >> kBlockBits));
    if (p.chunk_bits > 0) return p.chunk_bits - kBlockBits;
    if (node.isRegular()) return node.size == 0 ? 0 : static_cast<uint32_t>((kTarStart + node.place) >> kBlockBits);
    return S_ISCHR(node.mode) || S_ISBLK(node.mode) ? static_cast<uint32_t>(node.place) : 0;
  }

  void writeXattrs(const Node& node, uint8_t* out) {
    counting_ = false;
    const Xattrs xattrs = keptXattrs(node);
    if (xattrs.empty()) return;
    out += sizeof(XattrHeader);  // zeros: any name may be there
    for (const auto& [name, value] : xattrs) {
      for (const auto& p : kPrefixes) {
        if (!name.starts_with(p.text)) continue;
        const XattrEntry entry{static_cast<uint8_t>(name.size() - p.text.size()), p.index, static_cast<uint16_t>(value.size())};
        std::memcpy(out, &entry, sizeof entry);
        std::memcpy(out + sizeof entry, name.data() + p.text.size(), entry.name_length);
        std::memcpy(out + sizeof entry + entry.name_length, value.data(), value.size());
        out += sizeOf(name, value);
        break;
      }
    }
  }

  SuperBlock superBlock() const {
    SuperBlock s{};
    s.magic = kMagic;
    s.feature_compat = kCompatMtime;
    s.block_bits = kBlockBits;
    // The first inode, which may have moved to the next block: 16 bits reach 2 MiB, its attributes 256 KiB.
    s.root_nid = static_cast<uint16_t>(placed_.front().offset / kSlot);
    s.inodes = placed_.size();
    s.blocks = static_cast<uint32_t>(meta_block_ + (end_ >> kBlockBits));
    s.meta_block = static_cast<uint32_t>(meta_block_);
    const bool chunks = std::any_of(placed_.begin(), placed_.end(), [](const auto& p) { return p.chunk_bits > 0; });
    s.feature_incompat = chunks ? kIncompatChunkedFile : 0;
    identify(s.uuid);
    return s;
  }

  /** Two layers have different ids, and one layer always the same: overlayfs keeps it where it remembers a file's origin. */
  void identify(uint8_t (&uuid)[16]) const {
    uint64_t parts[2] = {0xcbf29ce484222325, 0x84222325cbf29ce4};
    for (size_t i = 0; i < end_; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, out_.data() + i, sizeof word);
      for (auto& part : parts) part = mix(part, word), word = word << 17 | word >> 47;
    }
    std::memcpy(uuid, parts, sizeof uuid);
    uuid[6] = static_cast<uint8_t>((uuid[6] & 0x0f) | 0x80);  // RFC 9562, version 8
    uuid[8] = static_cast<uint8_t>((uuid[8] & 0x3f) | 0x80);
  }

  const OverlayMarks& marks_;
  const Node* root_ = nullptr;
  bool any_implicit_ = false;
  uint64_t meta_block_;
  std::vector<Placed> placed_;
  std::unordered_map<const Node*, size_t> index_;
  std::vector<uint8_t> out_;
  uint64_t end_ = 0;
  uint64_t dropped_ = 0;
  bool counting_ = true;
};

}  // namespace

uint64_t metaOffset(uint64_t tar_size) { return roundUp(kTarStart + tar_size, kBlockSize); }

Image makeImage(const Node& root, uint64_t tar_size, bool user_xattrs) { return Writer(root, tar_size, user_xattrs).run(); }

}  // namespace ctr::erofs
