// What uppers change about the layers below them, as an image's layer. The rules are those of src/upper-walk.ts and src/diff-upper.ts, which
// tell the same changes one by one.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "id_map.h"
#include "packed_file.h"
#include "scan_directory.h"
#include "tar_writer.h"

namespace ctr {

/** `.wh.` entries for what was deleted, `.wh..wh..opq` for what was replaced, and the directories above a change. */
class UpperPacker final : public Packer {
 public:
  /** Directories, top first, and how their owners are seen. */
  struct Stack {
    std::vector<std::string> paths;
    IdMaps ids;
  };

  /** `except`: paths that are left out where the lower layers have nothing. */
  UpperPacker(Stack uppers, Stack lowers, std::set<std::string> except)
      : uppers_(std::move(uppers)), lowers_(std::move(lowers)), except_(std::move(except)) {}

  std::string next(size_t size) override;
  void close() override;

 private:
  using Layers = std::vector<int>;

  /** One name in a stack: the topmost inode, and the layers in which it goes on as a directory. */
  struct Stacked {
    ScannedEntry node;
    int layer = -1;
    Layers below;
    /** Nothing of the layers under this stack shows. */
    bool ends = false;
  };
  using Names = std::map<std::string, Stacked>;

  /** A directory that is being gone through. */
  struct Level {
    std::string path;
    Names ours;
    Names theirs;
    Names::iterator at;
  };

  struct Change {
    std::string path;
    ScannedEntry node;
    int layer = -1;
    bool replaced = false;
  };

  void begin(std::string& out);
  void enter(std::string path, const Layers& ours, const Layers& theirs);
  /** Goes on to the next name; false when there is none. */
  bool step(std::string& out);
  void visit(std::string path, Stacked& own, const Stacked* old, std::string& out);
  void add(Names& names, ScannedEntry&& node, int layer, const std::string& path) const;
  Names everything(const Layers& layers, const std::string& path) const;
  Names named(const Layers& layers, const std::string& path, const Names& wanted) const;
  /** With the directories above it that are not in the archive yet. */
  void writeWithParents(Change change, std::string& out);
  void write(const Change& change, std::string& out);
  void writeMark(const std::string& path, std::string& out) const;

  Stack uppers_;
  Stack lowers_;
  std::set<std::string> except_;
  std::vector<UniqueFd> held_;
  /** Never moved: their iterators stay theirs. */
  std::deque<Level> levels_;
  std::vector<Change> above_;
  PackedFile file_;
  /** Where an inode with several names was first seen. */
  std::map<std::pair<uint64_t, uint64_t>, std::string> links_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace ctr
