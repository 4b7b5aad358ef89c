// SECURITY: every create is O_EXCL (or the kind of call that never replaces) in a directory held by descriptor, and a
// name that is in the way is removed first: nothing in a layer can make us write through what it planted before.
#include "entry_writer.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "layer_failure.h"
#include "remove_tree.h"

namespace ctr {
namespace {

/** While it is filled, a directory must let its owner in: an ordinary user has no CAP_DAC_OVERRIDE. */
constexpr uint32_t kOwnerAccess = 0700;
constexpr uint32_t kImplicitMode = 0755;

int makeNode(int parent, const std::string& name, mode_t mode, dev_t device) {
  return static_cast<int>(::syscall(SYS_mknodat, parent, name.c_str(), mode, static_cast<unsigned>(device)));
}

}  // namespace

EntryWriter::EntryWriter(UniqueFd root, bool user_xattrs, const Limits& limits)
    : root_(std::move(root)), limits_(limits), metadata_(user_xattrs, stats_) {}

/** Runs `make`; when the name is taken, clears it and runs it again. */
template <typename Create>
int EntryWriter::create(int parent, const EntryName& name, const char* call, Create make) {
  const int r = make();
  if (r >= 0 || errno != EEXIST) return check(r, call, entry_.path);
  removeExisting(parent, name.name);
  return check(make(), call, entry_.path);
}

/** Removes what bears the name, with everything below it, as a later entry of the same name means. */
void EntryWriter::removeExisting(int parent, const std::string& name) {
  Facts facts;
  if (statAt(parent, name.c_str(), facts) < 0) {
    if (errno == ENOENT) return;
    check(-1, "statx", entry_.path);
  }
  if (facts.isDirectory() || facts.isSymlink()) root_.forget();
  if (facts.isDirectory()) return removeTreeAt(parent, name, entry_.path);
  check(::unlinkat(parent, name.c_str(), 0), "unlinkat", entry_.path);
}

void EntryWriter::begin(TarEntry&& entry) {
  entry_ = std::move(entry);
  const EntryName name = classifyName(entry_.path, limits_);
  stats_.entries++;
  switch (name.kind) {
    case NameKind::root:
      if (entry_.kind != EntryKind::directory) refuse("root-entry", entry_.path);
      return writeRoot();
    case NameKind::auxiliary:
      stats_.auxiliary_skipped++;
      return;
    case NameKind::whiteout:
      return writeWhiteout(name);
    case NameKind::opaque:
      return writeOpaque(name);
    case NameKind::plain:
      return writePlain(name);
  }
}

void EntryWriter::data(const uint8_t* bytes, size_t size) {
  if (!file_.valid()) return;  // the body of a skipped entry
  if (entry_.extents.empty()) return writeContent(bytes, size);
  while (size > 0 && extent_ < entry_.extents.size()) {
    const Extent& e = entry_.extents[extent_];
    const size_t part = static_cast<size_t>(std::min<uint64_t>(size, e.size - extent_done_));
    if (extent_done_ == 0) check(::lseek(file_.get(), static_cast<off_t>(e.offset), SEEK_SET), "lseek", entry_.path);
    writeContent(bytes, part);
    bytes += part;
    size -= part;
    extent_done_ += part;
    if (extent_done_ < e.size) continue;
    extent_++;
    extent_done_ = 0;
  }
}

void EntryWriter::writeContent(const uint8_t* bytes, size_t size) {
  while (size > 0) {
    const ssize_t n = check(retry([&] { return ::write(file_.get(), bytes, size); }), "write", entry_.path);
    bytes += n;
    size -= static_cast<size_t>(n);
    stats_.bytes += static_cast<uint64_t>(n);
  }
}

void EntryWriter::finish() {
  if (!file_.valid()) return;
  // The hole at the end.
  if (!entry_.extents.empty()) check(::ftruncate(file_.get(), static_cast<off_t>(entry_.real_size)), "ftruncate", entry_.path);
  metadata_.applyTo(file_.get(), entry_, entry_.mode);
  file_.reset();
}

void EntryWriter::writePlain(const EntryName& name) {
  const SharedFd parent = parentOf(name);
  switch (entry_.kind) {
    case EntryKind::file:
      extent_ = 0;
      extent_done_ = 0;
      file_ = UniqueFd(create(parent->get(), name, "openat", [&] {
        return ::openat(parent->get(), name.name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry_.mode & 0777);
      }));
      return;
    case EntryKind::directory:
      return writeDirectory(parent->get(), name);
    case EntryKind::symlink:
      return writeSymlink(parent->get(), name);
    case EntryKind::hardlink:
      return writeLink(parent->get(), name);
    default:
      return writeNode(parent->get(), name);
  }
}

void EntryWriter::writeDirectory(int parent, const EntryName& name) {
  bool opaque = false;
  if (::mkdirat(parent, name.name.c_str(), kOwnerAccess) < 0) {
    if (errno != EEXIST) check(-1, "mkdirat", entry_.path);
    Facts facts;
    check(statAt(parent, name.name.c_str(), facts), "statx", entry_.path);
    if (!facts.isDirectory()) {
      // A whiteout and a new directory of one name: the lower one's content must not shine through.
      opaque = facts.isWhiteout();
      removeExisting(parent, name.name);
      check(::mkdirat(parent, name.name.c_str(), kOwnerAccess), "mkdirat", entry_.path);
    }
  }
  UniqueFd fd(check(::openat(parent, name.name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "openat", entry_.path));
  metadata_.applyTo(fd.get(), entry_, entry_.mode | kOwnerAccess);
  if (opaque) metadata_.markOpaque(fd.get(), entry_.path);
  if (stats_.implicit_directories > 0) metadata_.unmarkImplicit(fd.get());
  directories_[name.path()] = Deferred{factsOf(fd.get(), entry_.path), entry_.mode, entry_.mtime, entry_.mtime_ns};
}

void EntryWriter::writeRoot() {
  root_described_ = true;
  metadata_.applyTo(root_.get(), entry_, entry_.mode | kOwnerAccess);
  directories_[""] = Deferred{factsOf(root_.get(), entry_.path), entry_.mode, entry_.mtime, entry_.mtime_ns};
}

void EntryWriter::writeSymlink(int parent, const EntryName& name) {
  if (entry_.link.empty()) refuse("link-target", entry_.path);
  if (entry_.link.size() > limits_.path_bytes) overLimit("path-length", entry_.path);
  create(parent, name, "symlinkat", [&] { return ::symlinkat(entry_.link.c_str(), parent, name.name.c_str()); });
  metadata_.applyAt(parent, name.name, entry_);
}

void EntryWriter::writeLink(int parent, const EntryName& name) {
  const EntryName target = classifyLinkTarget(entry_.link, limits_, entry_.path);
  const SharedFd from = root_.directory(target.parentPath());
  Facts facts;
  if (from == nullptr || statAt(from->get(), target.name.c_str(), facts) < 0) refuse("link-missing", entry_.path);
  // A link to a whiteout would be one more whiteout under a plain name.
  if (facts.isDirectory() || facts.isWhiteout()) refuse("link-target", entry_.path);
  Facts existing;
  if (statAt(parent, name.name.c_str(), existing) == 0) {
    if (existing.sameInode(facts)) return;
    removeExisting(parent, name.name);
  }
  // Flags 0: a link to a symbolic link is made to the link itself.
  if (::linkat(from->get(), target.name.c_str(), parent, name.name.c_str(), 0) == 0) return;
  if (errno == ENOENT) refuse("link-missing", entry_.path);  // it lay in the directory that had to go
  check(-1, "linkat", entry_.path);
}

void EntryWriter::writeNode(int parent, const EntryName& name) {
  const bool fifo = entry_.kind == EntryKind::fifo;
  const mode_t type = fifo ? S_IFIFO : entry_.kind == EntryKind::character_device ? S_IFCHR : S_IFBLK;
  const dev_t device = fifo ? 0 : makedev(entry_.major, entry_.minor);
  // SECURITY: to overlayfs this is a whiteout, which an archive may only ask for by name.
  if (type == S_IFCHR && device == 0) refuse("whiteout-device", entry_.path);
  if (!fifo && ::geteuid() != 0) {
    stats_.devices_skipped++;
    return;
  }
  const auto make = [&] { return makeNode(parent, name.name, type | entry_.mode, device); };
  int r = make();
  if (r < 0 && errno == EEXIST) {
    removeExisting(parent, name.name);
    r = make();
  }
  if (r < 0 && errno == EPERM && !fifo) {  // root of a user namespace
    stats_.devices_skipped++;
    return;
  }
  check(r, "mknodat", entry_.path);
  metadata_.applyAt(parent, name.name, entry_);
}

void EntryWriter::writeWhiteout(const EntryName& name) {
  if (entry_.kind != EntryKind::file || entry_.size > 0) refuse("whiteout-type", entry_.path);
  const SharedFd parent = parentOf(name);
  if (makeNode(parent->get(), name.name, S_IFCHR, 0) == 0) return;
  if (errno != EEXIST) check(-1, "mknodat", entry_.path);
  // SPEC: it hides what is below, not what this layer brings. A directory of this layer hides the lower one by being opaque.
  UniqueFd fd(::openat(parent->get(), name.name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.valid()) metadata_.markOpaque(fd.get(), entry_.path);
}

void EntryWriter::writeOpaque(const EntryName& name) {
  if (entry_.kind != EntryKind::file || entry_.size > 0) refuse("whiteout-type", entry_.path);
  const SharedFd directory = parentOf(name);
  // overlayfs ignores the mark on a root: whoever stacks the layers must end the stack there.
  if (factsOf(directory->get(), entry_.path).sameInode(factsOf(root_.get(), entry_.path))) stats_.opaque_root = true;
  metadata_.markOpaque(directory->get(), entry_.path);
}

SharedFd EntryWriter::parentOf(const EntryName& name) {
  SharedFd fd = root_.directory(name.parentPath());
  return fd != nullptr ? fd : makeParents(name);
}

/** Walks down and makes what is missing: archives may leave parents out. */
SharedFd EntryWriter::makeParents(const EntryName& name) {
  UniqueFd current(check(root_.open("", O_PATH | O_DIRECTORY), "openat2", entry_.path));
  std::string path;
  for (const auto& part : name.parent) {
    if (!path.empty()) path += '/';
    path += part;
    current = stepInto(current.get(), part, path);
  }
  return std::make_shared<UniqueFd>(std::move(current));
}

UniqueFd EntryWriter::stepInto(int dir, const std::string& name, const std::string& path) {
  UniqueFd fd(::openat(dir, name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.valid()) return fd;
  if (errno == ENOENT) return makeImplicit(dir, name, path, false);
  if (errno != ENOTDIR && errno != ELOOP) check(-1, "openat", entry_.path);
  Facts facts;
  check(statAt(dir, name.c_str(), facts), "statx", entry_.path);
  if (facts.isWhiteout()) {
    removeExisting(dir, name);
    return makeImplicit(dir, name, path, true);
  }
  if (facts.isSymlink()) fd = UniqueFd(root_.open(path, O_PATH | O_DIRECTORY));
  if (!fd.valid()) refuse("parent", entry_.path);
  return fd;
}

UniqueFd EntryWriter::makeImplicit(int parent, const std::string& name, const std::string& path, bool opaque) {
  if (++stats_.implicit_directories + stats_.entries > limits_.entries) overLimit("entries", entry_.path);
  check(::mkdirat(parent, name.c_str(), kImplicitMode), "mkdirat", entry_.path);
  UniqueFd fd(check(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), "openat", path));
  check(::fchmod(fd.get(), kImplicitMode), "fchmod", path);
  metadata_.markImplicit(fd.get(), path);
  if (opaque) metadata_.markOpaque(fd.get(), path);
  return fd;
}

void EntryWriter::finishDirectories() {
  if (!root_described_) metadata_.markImplicit(root_.get(), "/");
  if (stats_.implicit_directories > 0) metadata_.markImplicitBelow(root_.get(), "/");
  std::vector<const std::pair<const std::string, Deferred>*> all;
  for (const auto& item : directories_) all.push_back(&item);
  // Children first: a parent may get a mode that no longer lets its owner in.
  std::sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->first.size() > b->first.size(); });
  for (const auto* item : all) finishDirectory(item->first, item->second);
  directories_.clear();
}

void EntryWriter::finishDirectory(const std::string& path, const Deferred& later) {
  UniqueFd fd(root_.open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  // A later entry may have replaced it: then this is not the inode that was meant.
  if (!fd.valid()) {
    if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return;
    check(-1, "openat2", path);
  }
  if (!factsOf(fd.get(), path).sameInode(later.facts)) return;
  if (later.mode != (later.facts.mode & 07777)) check(::fchmod(fd.get(), later.mode), "fchmod", path);
  const struct timespec times[2] = {{0, UTIME_OMIT}, {static_cast<time_t>(later.mtime), static_cast<long>(later.mtime_ns)}};
  check(::futimens(fd.get(), times), "utimensat", path);
}

}  // namespace ctr
