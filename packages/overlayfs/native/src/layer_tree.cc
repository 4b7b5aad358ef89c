#include "layer_tree.h"

#include <sys/stat.h>

#include <algorithm>
#include <string_view>

#include "layer_failure.h"
#include "xattr_policy.h"

namespace ctr {
namespace {

constexpr uint32_t kImplicitMode = 0755;
/** What ext4 keeps of a time; programs break at those of 10^11 years that an archive can claim, localtime(3) gives null. */
constexpr int64_t kOldest = INT32_MIN, kNewest = 0x37fffffff;
constexpr int kMaxLinks = 40;    // as the kernel's own lookup
constexpr int kMaxSteps = 4096;  // components, those of links included

/** new_encode_dev() of <linux/kdev_t.h>. */
uint32_t encodeDevice(uint32_t major, uint32_t minor) { return (minor & 0xff) | (major << 8) | ((minor & ~0xffu) << 12); }

Node* childOf(const Node& directory, std::string_view name) {
  const auto& children = directory.directory->children;
  const auto hit = children.find(name);
  return hit == children.end() ? nullptr : hit->second;
}

/** True when `inner` is `outer` or lies below it. */
bool isInside(const Node* inner, const Node* outer) {
  for (const Node* at = inner; at != nullptr; at = at->directory->parent)
    if (at == outer) return true;
  return false;
}

}  // namespace

bool Node::isWhiteout() const { return S_ISCHR(mode) && place == 0; }
bool Node::isSymlink() const { return S_ISLNK(mode); }
bool Node::isRegular() const { return S_ISREG(mode); }

LayerTree::LayerTree(const Limits& limits) : limits_(limits), root_(make(S_IFDIR | kImplicitMode)) { root_->directory->implicit = true; }

Node* LayerTree::make(uint32_t mode) {
  Node& node = nodes_.emplace_back();
  node.mode = mode;
  if (S_ISDIR(mode)) node.directory = std::make_unique<Directory>();
  return &node;
}

void LayerTree::begin(TarEntry&& entry) {
  const EntryName name = classifyName(entry.path, limits_);
  stats_.entries++;
  switch (name.kind) {
    case NameKind::root:
      if (entry.kind != EntryKind::directory) refuse("root-entry", entry.path);
      root_->directory->implicit = false;
      return describe(*root_, std::move(entry));
    case NameKind::auxiliary:
      stats_.auxiliary_skipped++;
      return;
    case NameKind::whiteout:
      return setWhiteout(name, entry);
    case NameKind::opaque:
      return setOpaque(name, entry);
    case NameKind::plain:
      return setPlain(name, std::move(entry));
  }
}

/** Permissions, owner, time and attributes. The type stays. */
void LayerTree::describe(Node& node, TarEntry&& entry) {
  node.mode = (node.mode & S_IFMT) | entry.mode;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime = std::clamp(entry.mtime, kOldest, kNewest);
  node.mtime_ns = entry.mtime_ns;
  if (S_ISREG(node.mode) || S_ISDIR(node.mode)) keepXattrs(node, std::move(entry.xattrs), entry.path);
  // Of links and devices the kernel takes no user.* attributes, and no others are wanted.
  else stats_.xattrs_dropped += entry.xattrs.size();
}

void LayerTree::keepXattrs(Node& node, std::vector<std::pair<std::string, std::string>>&& xattrs, const std::string& path) {
  for (auto& [key, value] : xattrs) {
    // One byte less than the kernel's limit is what the format's 16 bits can say.
    const bool fits = value.size() <= UINT16_MAX && (key != "security.capability" || isValidCapability(value));
    if (!isWantedXattr(key) || !fits) {
      stats_.xattrs_dropped++;
      continue;
    }
    const auto same = std::find_if(node.xattrs.begin(), node.xattrs.end(), [&key = key](const auto& x) { return x.first == key; });
    if (same != node.xattrs.end()) same->second = std::move(value);
    // A directory may be described many times, each time with other attributes.
    else if (node.xattrs.size() >= limits_.xattrs) overLimit("xattr-count", path);
    else node.xattrs.emplace_back(std::move(key), std::move(value));
  }
}

void LayerTree::setPlain(const EntryName& name, TarEntry&& entry) {
  Node& parent = parentOf(name, entry.path);
  if (entry.kind == EntryKind::directory) return setDirectory(parent, name, std::move(entry));
  if (entry.kind == EntryKind::hardlink) return setLink(parent, name, entry);
  Node* node = nullptr;
  switch (entry.kind) {
    case EntryKind::symlink:
      if (entry.link.empty()) refuse("link-target", entry.path);
      if (entry.link.size() > limits_.path_bytes) overLimit("path-length", entry.path);
      node = make(S_IFLNK);
      node->link = std::move(entry.link);
      node->size = node->link.size();
      entry.mode = 0777;
      break;
    case EntryKind::fifo:
      node = make(S_IFIFO);
      break;
    case EntryKind::character_device:
    case EntryKind::block_device:
      node = make(entry.kind == EntryKind::block_device ? S_IFBLK : S_IFCHR);
      node->place = encodeDevice(entry.major, entry.minor);
      // SECURITY: to overlayfs this is a whiteout, which an archive may only ask for by name.
      if (node->isWhiteout()) refuse("whiteout-device", entry.path);
      break;
    default:
      node = make(S_IFREG);
      node->size = entry.real_size;
      node->place = entry.data_at;
      node->extents = std::move(entry.extents);
      stats_.bytes += entry.size;
  }
  describe(*node, std::move(entry));
  parent.directory->children.insert_or_assign(name.name, node);
}

void LayerTree::setDirectory(Node& parent, const EntryName& name, TarEntry&& entry) {
  Node* node = childOf(parent, name.name);
  if (node == nullptr || node->directory == nullptr) {
    // A whiteout and a new directory of one name: the lower one's content must not shine through.
    const bool opaque = node != nullptr && node->isWhiteout();
    node = make(S_IFDIR);
    node->directory->parent = &parent;
    node->directory->opaque = opaque;
    parent.directory->children.insert_or_assign(name.name, node);
  }
  node->directory->implicit = false;
  describe(*node, std::move(entry));
}

void LayerTree::setLink(Node& parent, const EntryName& name, const TarEntry& entry) {
  const EntryName target = classifyLinkTarget(entry.link, limits_, entry.path);
  Node* from = find(target.parent);
  Node* node = from == nullptr ? nullptr : childOf(*from, target.name);
  if (node == nullptr) refuse("link-missing", entry.path);
  // A link to a whiteout would be one more whiteout under a plain name.
  if (node->directory != nullptr || node->isWhiteout()) refuse("link-target", entry.path);
  const Node* existing = childOf(parent, name.name);
  // It lies in the directory that has to go.
  if (existing != nullptr && existing->directory != nullptr && isInside(from, existing)) refuse("link-missing", entry.path);
  parent.directory->children.insert_or_assign(name.name, node);
}

void LayerTree::setWhiteout(const EntryName& name, const TarEntry& entry) {
  if (entry.kind != EntryKind::file || entry.size > 0) refuse("whiteout-type", entry.path);
  Node& parent = parentOf(name, entry.path);
  Node* existing = childOf(parent, name.name);
  // SPEC: it hides what is below, not what this layer brings. A directory of this layer hides the lower one by being opaque.
  if (existing == nullptr) parent.directory->children.emplace(name.name, make(S_IFCHR));
  else if (existing->directory != nullptr) existing->directory->opaque = true;
}

void LayerTree::setOpaque(const EntryName& name, const TarEntry& entry) {
  if (entry.kind != EntryKind::file || entry.size > 0) refuse("whiteout-type", entry.path);
  Node& directory = parentOf(name, entry.path);
  // overlayfs ignores the mark on a root: whoever stacks the layers must end the stack there.
  if (&directory == root_) stats_.opaque_root = true;
  directory.directory->opaque = true;
}

Node& LayerTree::parentOf(const EntryName& name, const std::string& path) {
  Node* at = root_;
  for (const auto& part : name.parent) {
    Node* next = childOf(*at, part);
    if (next != nullptr && next->isSymlink()) next = followLink(*at, next->link);
    else if (next == nullptr || next->isWhiteout()) next = &makeImplicit(*at, part, next != nullptr, path);
    if (next == nullptr || next->directory == nullptr) refuse("parent", path);
    at = next;
  }
  return *at;
}

Node& LayerTree::makeImplicit(Node& parent, const std::string& name, bool opaque, const std::string& path) {
  if (++stats_.implicit_directories + stats_.entries > limits_.entries) overLimit("entries", path);
  Node* node = make(S_IFDIR | kImplicitMode);
  node->directory->parent = &parent;
  node->directory->opaque = opaque;
  node->directory->implicit = true;
  parent.directory->children.insert_or_assign(name, node);
  return *node;
}

/** Where a link in `directory` leads, as in a chroot; null when that is no directory of this layer. */
Node* LayerTree::followLink(Node& directory, const std::string& target) {
  Node* at = &directory;
  // What is still to be walked, the last target on top.
  std::vector<std::pair<std::string, size_t>> rest{{target, 0}};
  if (target.starts_with('/')) at = root_;
  for (int links = 1, steps = 0; !rest.empty();) {
    auto& [path, from] = rest.back();
    const size_t start = path.find_first_not_of('/', from);
    if (start == std::string::npos) {
      rest.pop_back();
      continue;
    }
    // SECURITY: a few long targets that lead into each other would else cost seconds for each entry.
    if (++steps > kMaxSteps) return nullptr;
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = std::string_view(path).substr(start, end - start);
    from = end;
    if (part == ".") continue;
    if (part == "..") {
      if (at != root_) at = at->directory->parent;
      continue;
    }
    Node* next = childOf(*at, part);
    if (next == nullptr) return nullptr;
    if (next->directory != nullptr) {
      at = next;
      continue;
    }
    if (!next->isSymlink() || ++links > kMaxLinks) return nullptr;
    if (next->link.starts_with('/')) at = root_;
    rest.emplace_back(next->link, 0);
  }
  return at;
}

/** A directory that is there, links resolved; null when there is none. */
Node* LayerTree::find(const std::vector<std::string>& parts) {
  Node* at = root_;
  for (const auto& part : parts) {
    Node* next = childOf(*at, part);
    if (next != nullptr && next->isSymlink()) next = followLink(*at, next->link);
    if (next == nullptr || next->directory == nullptr) return nullptr;
    at = next;
  }
  return at;
}

}  // namespace ctr
