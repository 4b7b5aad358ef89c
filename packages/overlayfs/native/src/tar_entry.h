// One entry of a tar archive after all of its headers are merged; what the parser hands to the writer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ctr {

enum class EntryKind { file, directory, symlink, hardlink, character_device, block_device, fifo };

struct TarEntry {
  EntryKind kind = EntryKind::file;
  std::string path;
  std::string link;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;
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
