// Feeds mutated archives to the tar reader and the EROFS writer, and reads every image that comes of it as the kernel would:
// nothing in it may point outside of it. For AddressSanitizer and UBSan; test/layer-fuzz.test.ts builds and runs it.
//
//   layer_fuzz ROUNDS SEED ARCHIVE…      prints "N rounds, M accepted"
#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "../src/erofs_image.h"
#include "../src/layer_failure.h"
#include "../src/layer_tree.h"
#include "../src/tar_reader.h"

using namespace ctr;
using Archive = std::vector<uint8_t>;

namespace {

constexpr size_t kMaxArchive = 256 * 1024;
std::mt19937_64 generator;

size_t below(size_t n) { return n == 0 ? 0 : generator() % n; }

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "the image is broken: %s\n", what);
  std::abort();
}

void require(bool good, const char* what) {
  if (!good) broken(what);
}

/** Else nearly every mutation would end at the checksum. */
void repairChecksum(Archive& a, size_t block) {
  uint8_t* h = a.data() + block * 512;
  std::memset(h + 148, ' ', 8);
  unsigned sum = 0;
  for (int i = 0; i < 512; i++) sum += h[i];
  std::snprintf(reinterpret_cast<char*>(h + 148), 7, "%06o", sum & 0777777);
}

void mutateBlock(Archive& a, size_t block) {
  uint8_t* h = a.data() + block * 512;
  static constexpr struct { size_t at, size; } kFields[] = {{0, 100}, {100, 8}, {108, 8}, {124, 12}, {136, 12}, {157, 100}, {257, 8}, {329, 8}, {345, 155}};
  static constexpr char kTypes[] = "0123456757xgLKSV\0";
  static const char* const kNames[] = {"..", "a/../b", ".wh.x", ".wh..wh..opq", ".", "/", "d/e", "link/x", ".wh..wh.y", "d"};
  switch (below(6)) {
    case 0:
      h[156] = static_cast<uint8_t>(kTypes[below(sizeof kTypes - 1)]);
      break;
    case 1: {
      const auto& f = kFields[below(std::size(kFields))];
      h[f.at + below(f.size)] = static_cast<uint8_t>(generator());
      break;
    }
    case 2: {
      const char* name = kNames[below(std::size(kNames))];
      std::memset(h, 0, 100);
      std::memcpy(h, name, std::strlen(name));
      break;
    }
    case 3:
      h[124] = 0x80;
      h[128 + below(8)] = static_cast<uint8_t>(generator());
      break;
    case 4:
      std::memcpy(h + 157, h, 100);
      break;
    default:
      std::snprintf(reinterpret_cast<char*>(h + 124), 12, "%011o", static_cast<unsigned>(below(4096)));
  }
}

void mutate(Archive& a) {
  for (size_t n = 1 + below(4); n > 0 && !a.empty(); n--) {
    const size_t blocks = a.size() / 512;
    const size_t block = below(blocks);
    switch (below(6)) {
      case 0:
        a[below(a.size())] ^= static_cast<uint8_t>(1u << below(8));
        break;
      case 1:  // a part again, somewhere else
        if (a.size() < kMaxArchive && blocks > 0) {
          const size_t count = 1 + below(std::min<size_t>(4, blocks - block));
          const Archive part(a.begin() + static_cast<long>(block * 512), a.begin() + static_cast<long>(std::min(a.size(), (block + count) * 512)));
          a.insert(a.begin() + static_cast<long>(below(blocks + 1) * 512), part.begin(), part.end());
        }
        break;
      case 2:
        a.resize(below(a.size()) + 1);
        break;
      default:
        if (blocks > 0) {
          mutateBlock(a, block);
          repairChecksum(a, block);
        }
    }
  }
}

/** Reads an image like fs/erofs does, and stops at the first thing that it would refuse or read out of bounds. */
class Reader {
 public:
  Reader(const erofs::Image& image, uint64_t tar_size) : image_(image), tar_size_(tar_size), base_(erofs::metaOffset(tar_size)) {}

  void check() {
    require(image_.super.magic == erofs::kMagic && image_.super.block_bits == erofs::kBlockBits, "superblock");
    require(uint64_t{image_.super.meta_block} * 512 == base_, "place of the metadata");
    require(image_.metadata.size() % 512 == 0, "size of the metadata");
    std::vector<uint64_t> pending{image_.super.root_nid};
    std::set<uint64_t> seen{image_.super.root_nid};
    while (!pending.empty()) {
      const uint64_t nid = pending.back();
      pending.pop_back();
      for (const uint64_t child : inode(nid))
        if (seen.insert(child).second) pending.push_back(child);
    }
    require(seen.size() == image_.super.inodes, "number of inodes");
  }

 private:
  const uint8_t* at(uint64_t offset, uint64_t size) const {
    require(offset <= image_.metadata.size() && size <= image_.metadata.size() - offset, "outside of the metadata");
    return image_.metadata.data() + offset;
  }

  /** Returns the directory's entries. */
  std::vector<uint64_t> inode(uint64_t nid) const {
    erofs::Inode i;
    const uint64_t offset = nid * erofs::kSlot;
    std::memcpy(&i, at(offset, sizeof i), sizeof i);
    const uint64_t xattrs = i.xattr_count == 0 ? 0 : sizeof(erofs::XattrHeader) + (i.xattr_count - 1u) * 4u;
    checkXattrs(offset + sizeof i, xattrs);
    require((i.format & 1) == 1, "form of an inode");
    const auto layout = static_cast<erofs::Layout>(i.format >> 1);
    const uint64_t tail = offset + sizeof i + xattrs;
    if (S_ISREG(i.mode) && layout == erofs::kChunkBased) {
      checkChunks(i, tail);
      return {};
    }
    if (S_ISREG(i.mode)) {
      require(layout == erofs::kFlatPlain, "layout of a file");
      if (i.size > 0) {
        require(uint64_t{i.place} * 512 >= erofs::kTarStart, "a file's content begins before the archive");
        require(uint64_t{i.place} * 512 + i.size <= erofs::kTarStart + tar_size_, "a file's content ends behind the archive");
      }
      return {};
    }
    if (!S_ISDIR(i.mode) && !S_ISLNK(i.mode)) return {};
    if (layout == erofs::kFlatInline) require(tail % 512 + i.size <= 512 && i.size < 512, "content behind an inode crosses a block");
    else require(layout == erofs::kFlatPlain && uint64_t{i.place} * 512 >= base_, "layout");
    const uint64_t content = layout == erofs::kFlatInline ? tail : uint64_t{i.place} * 512 - base_;
    if (S_ISLNK(i.mode)) {
      at(content, i.size);
      return {};
    }
    return directory(content, i.size);
  }

  /** Of a sparse file: each chunk is a hole or stands in the archive, with all of it that the file shows. */
  void checkChunks(const erofs::Inode& i, uint64_t map) const {
    require((image_.super.feature_incompat & erofs::kIncompatChunkedFile) != 0, "chunks without their feature");
    require((i.place & ~0x1fu) == 0, "form of a chunk map");
    const uint64_t chunk = uint64_t{1} << (i.place + erofs::kBlockBits);
    for (uint64_t done = 0, n = 0; done < i.size; done += chunk, n++) {
      uint32_t block = 0;
      std::memcpy(&block, at(map + n * sizeof block, sizeof block), sizeof block);
      if (block == erofs::kHole) continue;
      require(uint64_t{block} * 512 >= erofs::kTarStart, "a chunk begins before the archive");
      require(uint64_t{block} * 512 + std::min(chunk, i.size - done) <= erofs::kTarStart + tar_size_, "a chunk ends behind the archive");
    }
  }

  void checkXattrs(uint64_t offset, uint64_t size) const {
    if (size == 0) return;
    for (uint64_t done = sizeof(erofs::XattrHeader); done < size;) {
      erofs::XattrEntry e;
      std::memcpy(&e, at(offset + done, sizeof e), sizeof e);
      done += (sizeof e + e.name_length + e.value_size + 3) / 4 * 4;
      require(done <= size && e.name_index != 0, "attributes");
    }
    at(offset, size);
  }

  std::vector<uint64_t> directory(uint64_t offset, uint64_t size) const {
    std::vector<uint64_t> out;
    std::string last;
    for (uint64_t done = 0; done < size; done += 512) {
      const uint64_t length = std::min<uint64_t>(512, size - done);
      const uint8_t* block = at(offset + done, length);
      erofs::Dirent first;
      std::memcpy(&first, block, sizeof first);
      require(first.name_offset >= sizeof first && first.name_offset < 512 && first.name_offset % sizeof first == 0, "number of names");
      const size_t count = first.name_offset / sizeof first;
      for (size_t i = 0; i < count; i++) {
        erofs::Dirent e;
        std::memcpy(&e, block + i * sizeof e, sizeof e);
        uint64_t end = length;
        if (i + 1 < count) {
          erofs::Dirent next;
          std::memcpy(&next, block + (i + 1) * sizeof next, sizeof next);
          end = next.name_offset;
        }
        require(e.name_offset < end && end <= length, "place of a name");
        const char* name = reinterpret_cast<const char*>(block + e.name_offset);
        const std::string text(name, i + 1 < count ? end - e.name_offset : strnlen(name, end - e.name_offset));
        require(!text.empty() && text.size() <= 255 && text.find('/') == std::string::npos && text.find('\0') == std::string::npos, "a name");
        require(last < text, "order of names");
        last = text;
        out.push_back(e.nid);
      }
    }
    return out;
  }

  const erofs::Image& image_;
  uint64_t tar_size_;
  uint64_t base_;
};

bool tryArchive(const Archive& a) {
  // Small, so that limits are met as well.
  const Limits limits{400, 4 << 20, 4095, 40, 8192, 8, 4096};
  try {
    LayerTree tree(limits);
    TarReader reader(tree, limits);
    for (size_t at = 0; at < a.size();) {
      const size_t part = std::min(a.size() - at, 1 + below(1500));
      reader.write(a.data() + at, part);
      at += part;
    }
    reader.end();
    const erofs::Image image = erofs::makeImage(tree.root(), a.size(), false);
    Reader(image, a.size()).check();
    return true;
  } catch (const LayerFailure&) {
    return false;
  }
}

Archive readFile(const char* path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const long rounds = std::atol(argv[1]);
  generator.seed(static_cast<uint64_t>(std::atoll(argv[2])));
  std::vector<Archive> corpus;
  for (int i = 3; i < argc; i++) corpus.push_back(readFile(argv[i]));
  for (const auto& a : corpus) require(tryArchive(a), "an archive of the corpus was refused");
  long accepted = 0;
  for (long i = 0; i < rounds; i++) {
    Archive a = corpus[below(corpus.size())];
    mutate(a);
    if (!tryArchive(a)) continue;
    accepted++;
    // What was accepted is changed further, so that mutations pile up.
    if (corpus.size() < 200 && a.size() < kMaxArchive) corpus.push_back(std::move(a));
  }
  std::printf("%ld rounds, %ld accepted\n", rounds, accepted);
  return 0;
}
