// One entry of a tar archive after all of its headers are merged; what the parser hands to the writer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ctr {

enum class EntryKind { file, directory, symlink, hardlink, character_device, block_device, fifo };

/** A part of a sparse file that has content; what lies between the parts is zeros. */
struct Extent {
  uint64_t offset;  // in the file
  uint64_t size;
  uint64_t at;  // where its content begins in the archive
};

struct TarEntry {
  EntryKind kind = EntryKind::file;
  std::string path;
  std::string link;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;       // of the content in the archive
  uint64_t real_size = 0;  // of the file, holes included
  uint64_t data_at = 0;  // where the content begins in the archive
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
  /** Of a sparse file, in order; empty for one without holes. */
  std::vector<Extent> extents;
};

/** Takes the entries in the archive's order: begin, then the data in any number of parts, then finish. */
class EntrySink {
 public:
  virtual ~EntrySink() = default;
  virtual void begin(TarEntry&& entry) = 0;
  virtual void data(const uint8_t* bytes, size_t size) = 0;
  virtual void finish() = 0;
};

}  // namespace ctr
