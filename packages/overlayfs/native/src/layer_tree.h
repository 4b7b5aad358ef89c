// A layer as a tree in memory: what the directory form makes of files, made of names and numbers alone. No path of the
// archive reaches the host here.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "entry_name.h"
#include "layer_limits.h"
#include "layer_stats.h"
#include "tar_entry.h"

namespace ctr {

struct Node;

/** What only a directory has. */
struct Directory {
  Node* parent = nullptr;
  /** In the order of bytes, as EROFS searches them. */
  std::map<std::string, Node*, std::less<>> children;
  /** Nothing of the layers below shows in it. */
  bool opaque = false;
  /** The archive never mentioned it: its attributes are for the layers below to say. */
  bool implicit = false;
};

/** An inode; several names may lead to it. */
struct Node {
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t mtime_ns = 0;
  int64_t mtime = 0;
  uint64_t size = 0;
  /** Of a file: where its content begins in the archive. Of a device: its number as the kernel encodes it. */
  uint64_t place = 0;
  std::string link;
  std::vector<std::pair<std::string, std::string>> xattrs;
  /** Of a sparse file; empty for one without holes. */
  std::vector<Extent> extents;
  std::unique_ptr<Directory> directory;

  bool isWhiteout() const;
  bool isSymlink() const;
  bool isRegular() const;
};

/** Takes entries with the same meaning as EntryWriter: a later entry replaces an earlier one, links are resolved in the root. */
class LayerTree final : public EntrySink {
 public:
  explicit LayerTree(const Limits& limits);

  void begin(TarEntry&& entry) override;
  void data(const uint8_t*, size_t) override {}
  void finish() override {}

  const Node& root() const { return *root_; }
  const LayerStats& stats() const { return stats_; }

 private:
  Node* make(uint32_t mode);
  void describe(Node& node, TarEntry&& entry);
  void keepXattrs(Node& node, std::vector<std::pair<std::string, std::string>>&& xattrs, const std::string& path);
  void setPlain(const EntryName& name, TarEntry&& entry);
  void setDirectory(Node& parent, const EntryName& name, TarEntry&& entry);
  void setLink(Node& parent, const EntryName& name, const TarEntry& entry);
  void setWhiteout(const EntryName& name, const TarEntry& entry);
  void setOpaque(const EntryName& name, const TarEntry& entry);
  Node& parentOf(const EntryName& name, const std::string& path);
  Node& makeImplicit(Node& parent, const std::string& name, bool opaque, const std::string& path);
  Node* followLink(Node& directory, const std::string& target);
  Node* find(const std::vector<std::string>& parts);

  const Limits& limits_;
  LayerStats stats_;
  std::deque<Node> nodes_;
  Node* root_;
};

}  // namespace ctr
