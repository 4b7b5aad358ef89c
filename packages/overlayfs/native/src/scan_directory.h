// What lies in one directory of a tree, with everything that is to be known of each inode.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "inode_xattrs.h"
#include "unique_fd.h"

namespace ctr {

struct ScannedEntry {
  std::string name;
  uint32_t mode = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t links = 0;
  uint64_t size = 0;
  uint64_t inode = 0;
  uint64_t device = 0;
  uint32_t major = 0;
  uint32_t minor = 0;
  int64_t mtime = 0;
  uint32_t mtime_ns = 0;
  /** Of a symbolic link. */
  std::string target;
  /** Those that this user may see; sorted. */
  Xattrs xattrs;
};

/**
 * The entries of `path` below the held root, in the order of bytes, the directory itself first under the empty name. The way
 * there follows no link and crosses no mount: a tree that a container writes to cannot lead out of itself.
 */
std::vector<ScannedEntry> scanDirectory(int root, const std::string& path);

/** One name in a directory that is open; `path` is for failures. False when there is none. */
bool scanEntry(int directory, const std::string& name, const std::string& path, ScannedEntry& out);

/** A directory below the held root, by the same rules. */
UniqueFd openDirectoryBelow(int root, const std::string& path);

/** A regular file below the held root for reading, by the same rules; never blocks on a FIFO, opens no device. */
int openFileBelow(int root, const std::string& path);

}  // namespace ctr
