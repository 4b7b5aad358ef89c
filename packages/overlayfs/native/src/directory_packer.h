// A folder of the host as a tar archive, made piece by piece for whoever asks.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "packed_file.h"
#include "tar_writer.h"
#include "unique_fd.h"

namespace ctr {

struct PackOptions {
  /** Owner of everything; unset: as in the folder. */
  std::optional<std::pair<uint32_t, uint32_t>> owner;
  /** Time of everything; unset: as in the folder. */
  std::optional<uint64_t> mtime;
};

/**
 * Names in the order of their bytes, parents first, hard links as links, sockets left out. Extended attributes as a layer keeps them,
 * xattr_policy.h. The way through the folder goes by descriptors and follows no link, so that a tree to which somebody writes
 * meanwhile cannot lead out of itself. Not for several threads at once.
 */
class DirectoryPacker final : public Packer {
 public:
  DirectoryPacker(std::string directory, PackOptions options) : directory_(std::move(directory)), options_(options) {}

  std::string next(size_t size) override;
  void close() override;

 private:
  /** A directory that is being gone through. */
  struct Level {
    UniqueFd fd;
    std::string path;
    std::vector<std::string> names;
    size_t at = 0;
  };
  void enter(UniqueFd directory, std::string path);
  /** Goes on to the next name; false when there is none. */
  bool step(std::string& out);
  void add(const UniqueFd& parent, const std::string& name, const std::string& path, std::string& out);
  void addFile(const UniqueFd& held, TarFacts facts, std::string& out);
  std::string directory_;
  PackOptions options_;
  bool begun_ = false;
  bool ended_ = false;
  std::vector<Level> levels_;
  PackedFile file_;
  /** Where an inode with several names was first seen. */
  std::map<std::pair<uint64_t, uint64_t>, std::string> links_;
};

}  // namespace ctr
