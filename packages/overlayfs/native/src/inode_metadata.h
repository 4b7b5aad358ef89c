// Owner, mode, attributes and time of an inode that the writer has just made.
#pragma once
#include <string>

#include "layer_stats.h"
#include "overlay_marks.h"
#include "root_dir.h"
#include "tar_entry.h"

namespace ctr {

class InodeMetadata {
 public:
  InodeMetadata(bool user_xattrs, LayerStats& stats);

  /** A file, directory or FIFO by its own descriptor. The mode may differ from the entry's, for a directory in use. */
  void applyTo(int fd, const TarEntry& entry, uint32_t mode);

  /** A link or device, which cannot be opened without effects: by name, never following. */
  void applyAt(int parent, const std::string& name, const TarEntry& entry);

  /** Marks a directory so that overlayfs shows nothing of the layers below in it. */
  void markOpaque(int directory_fd, const std::string& path);

  /** Remembers that the archive does not describe this directory, see overlay_marks.h. */
  void markImplicit(int directory_fd, const std::string& path);
  /** The archive describes it after all. */
  void unmarkImplicit(int directory_fd);
  /** The same of a root: that something below it is not described. */
  void markImplicitBelow(int root_fd, const std::string& path);

 private:
  bool owned(const Facts& facts, const TarEntry& entry);
  void applyXattrs(int fd, const TarEntry& entry);

  void mark(int directory_fd, const char* name, const std::string& path);
  void note(int directory_fd, const char* name, const std::string& path);

  const OverlayMarks& marks_;
  bool keep_owner_;
  LayerStats& stats_;
};

}  // namespace ctr
