// Writes entries below a held root, in the form that overlayfs reads: whiteouts as devices 0:0, opaque as an attribute.
#pragma once
#include <string>
#include <unordered_map>

#include "entry_name.h"
#include "inode_metadata.h"
#include "layer_stats.h"
#include "layer_limits.h"
#include "root_dir.h"
#include "tar_entry.h"

namespace ctr {

class EntryWriter final : public EntrySink {
 public:
  EntryWriter(UniqueFd root, bool user_xattrs, const Limits& limits);

  void begin(TarEntry&& entry) override;
  void data(const uint8_t* bytes, size_t size) override;
  void finish() override;

  /** After the last entry: modes and times of directories, which writing into them would have changed. */
  void finishDirectories();

  const LayerStats& stats() const { return stats_; }

 private:
  /** What a directory gets at the end. */
  struct Deferred {
    Facts facts;
    uint32_t mode = 0;
    int64_t mtime = 0;
    uint32_t mtime_ns = 0;
  };

  void writeContent(const uint8_t* bytes, size_t size);
  void writeRoot();
  void writeWhiteout(const EntryName& name);
  void writeOpaque(const EntryName& name);
  void writePlain(const EntryName& name);
  void writeDirectory(int parent, const EntryName& name);
  void writeLink(int parent, const EntryName& name);
  void writeSymlink(int parent, const EntryName& name);
  void writeNode(int parent, const EntryName& name);

  SharedFd parentOf(const EntryName& name);
  SharedFd makeParents(const EntryName& name);
  UniqueFd stepInto(int dir, const std::string& name, const std::string& path);
  UniqueFd makeImplicit(int parent, const std::string& name, const std::string& path, bool opaque);
  void removeExisting(int parent, const std::string& name);
  template <typename Create>
  int create(int parent, const EntryName& name, const char* call, Create make);
  void finishDirectory(const std::string& path, const Deferred& deferred);

  RootDir root_;
  const Limits& limits_;
  LayerStats stats_;
  InodeMetadata metadata_;
  TarEntry entry_;
  UniqueFd file_;
  /** Of a sparse file: the part that is being written, and how much of it is. */
  size_t extent_ = 0;
  uint64_t extent_done_ = 0;
  bool root_described_ = false;
  std::unordered_map<std::string, Deferred> directories_;
};

}  // namespace ctr
