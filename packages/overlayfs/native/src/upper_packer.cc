#include "upper_packer.h"

#include <algorithm>
#include <string_view>

#include "layer_failure.h"
#include "sys.h"
#include "xattr_policy.h"

namespace ctr {
namespace {

constexpr const char* kNamespaces[] = {"trusted.overlay.", "user.overlay."};

const std::string* overlayMark(const ScannedEntry& e, const std::string& mark) {
  for (const auto& [name, value] : e.xattrs)
    for (const char* space : kNamespaces)
      if (name == space + mark) return &value;
  return nullptr;
}

bool isDirectory(const ScannedEntry& e) { return S_ISDIR(e.mode); }

/** A device 0:0, or, where none can be made, an empty file with a mark. */
bool isWhiteout(const ScannedEntry& e) {
  return (S_ISCHR(e.mode) && e.major == 0 && e.minor == 0) || (S_ISREG(e.mode) && e.size == 0 && overlayMark(e, "whiteout") != nullptr);
}

bool isOpaque(const ScannedEntry& e) {
  const std::string* value = overlayMark(e, "opaque");
  return value != nullptr && *value == "y";
}

bool isOverlays(std::string_view name) {
  return std::any_of(std::begin(kNamespaces), std::end(kNamespaces), [&](const char* space) { return name.starts_with(space); });
}

/** overlayfs's own attributes are no part of what a program sees. */
Xattrs visible(const ScannedEntry& e) {
  Xattrs out;
  for (const auto& x : e.xattrs)
    if (!isOverlays(x.first)) out.push_back(x);
  return out;
}

/** A copied-up file has all of the lower one's facts, its time to the nanosecond too. */
bool differs(const ScannedEntry& a, const ScannedEntry& b) {
  if (a.mode != b.mode || a.uid != b.uid || a.gid != b.gid || visible(a) != visible(b)) return true;
  // A directory's time changes with every name in it, which is a change of its own.
  if (isDirectory(a)) return false;
  return a.target != b.target || a.size != b.size || a.mtime != b.mtime || a.mtime_ns != b.mtime_ns || a.major != b.major || a.minor != b.minor;
}

bool isAbsent(int error) { return error == ENOENT || error == ENOTDIR || error == ELOOP; }

std::string join(const std::string& directory, const std::string& name) { return directory.empty() ? name : directory + "/" + name; }

bool isAbove(const std::string& directory, const std::string& path) {
  return directory.empty() || (path.size() > directory.size() && path[directory.size()] == '/' && path.starts_with(directory));
}

/** '\0' for what an archive cannot hold: a socket. */
char typeOf(uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG: return '0';
    case S_IFLNK: return '2';
    case S_IFCHR: return '3';
    case S_IFBLK: return '4';
    case S_IFDIR: return '5';
    case S_IFIFO: return '6';
    default: return '\0';
  }
}

UniqueFd openLayer(const std::string& path) {
  return UniqueFd(check(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
}

}  // namespace

std::string UpperPacker::next(size_t size) {
  std::string out;
  if (ended_) return out;
  out.reserve(size + 4 * kTarBlock);
  if (!begun_) {
    begun_ = true;
    begin(out);
  }
  while (out.size() < size) {
    if (file_.isOpen()) {
      file_.readOn(out, size);
    } else if (!step(out)) {
      out.append(2 * kTarBlock, '\0');  // ends an archive
      ended_ = true;
      break;
    }
  }
  return out;
}

void UpperPacker::close() {
  ended_ = true;
  levels_.clear();
  file_ = PackedFile{};
  held_.clear();
}

void UpperPacker::begin(std::string& out) {
  Layers ours, theirs;
  for (const auto& path : uppers_.paths) ours.push_back(held_.emplace_back(openLayer(path)).get());
  for (const auto& path : lowers_.paths) theirs.push_back(held_.emplace_back(openLayer(path)).get());
  ScannedEntry root, before;
  scanEntry(ours.front(), ".", "", root);
  // The root of an upper is made by us, and its time is that of the last name in it.
  const bool known = !theirs.empty() && scanEntry(theirs.front(), ".", "", before);
  seeInside(uppers_.ids, root);
  seeInside(lowers_.ids, before);
  if (!known || root.mode != before.mode || root.uid != before.uid || root.gid != before.gid)
    writeWithParents({"", std::move(root), ours.front(), false}, out);
  enter("", ours, theirs);
}

void UpperPacker::enter(std::string path, const Layers& ours, const Layers& theirs) {
  Names names = everything(ours, path);
  if (names.empty()) return;
  Names old = named(theirs, path, names);
  levels_.push_back(Level{std::move(path), std::move(names), std::move(old), {}});
  levels_.back().at = levels_.back().ours.begin();
}

/** What a name is in one more layer, from the top down. */
void UpperPacker::add(Names& names, ScannedEntry&& node, int layer, const std::string& path) const {
  const auto found = names.find(node.name);
  if (found != names.end() && found->second.ends) return;
  // A renamed directory or a file without its content cannot be understood from the upper alone.
  for (const char* mark : {"redirect", "metacopy"})
    if (overlayMark(node, mark) != nullptr) refuse(mark, path);
  const bool directory = isDirectory(node);
  if (found == names.end()) {
    const bool ends = !directory || isOpaque(node);
    Stacked stacked{std::move(node), layer, directory ? Layers{layer} : Layers{}, ends};
    std::string name = stacked.node.name;
    names.emplace(std::move(name), std::move(stacked));
    return;
  }
  found->second.ends = !directory || isOpaque(node);
  if (directory) found->second.below.push_back(layer);
}

UpperPacker::Names UpperPacker::everything(const Layers& layers, const std::string& path) const {
  Names names;
  for (const int layer : layers) {
    try {
      auto entries = scanDirectory(layer, path);
      for (size_t i = 1; i < entries.size(); i++) {
        const std::string at = join(path, entries[i].name);
        seeInside(uppers_.ids, entries[i]);
        add(names, std::move(entries[i]), layer, at);
      }
    } catch (const SyscallFailure& f) {
      if (!isAbsent(f.error)) throw;
    }
  }
  return names;
}

/** Only these: a directory of a lower layer may hold thousands of others. */
UpperPacker::Names UpperPacker::named(const Layers& layers, const std::string& path, const Names& wanted) const {
  Names names;
  for (const int layer : layers) {
    UniqueFd directory;
    try {
      directory = openDirectoryBelow(layer, path);
    } catch (const SyscallFailure& f) {
      if (!isAbsent(f.error)) throw;
      continue;
    }
    for (const auto& [name, _] : wanted) {
      ScannedEntry entry;
      const std::string at = join(path, name);
      if (!scanEntry(directory.get(), name, at, entry)) continue;
      seeInside(lowers_.ids, entry);
      add(names, std::move(entry), layer, at);
    }
  }
  return names;
}

bool UpperPacker::step(std::string& out) {
  while (!levels_.empty() && levels_.back().at == levels_.back().ours.end()) levels_.pop_back();
  if (levels_.empty()) return false;
  Level& level = levels_.back();
  auto& [name, own] = *level.at++;
  const auto found = level.theirs.find(name);
  const Stacked* old = found == level.theirs.end() || isWhiteout(found->second.node) ? nullptr : &found->second;
  visit(join(level.path, name), own, old, out);
  return true;
}

void UpperPacker::visit(std::string path, Stacked& own, const Stacked* old, std::string& out) {
  if (old == nullptr && except_.contains(path)) return;
  above_.erase(std::remove_if(above_.begin(), above_.end(), [&](const Change& c) { return !isAbove(c.path, path); }), above_.end());
  if (isWhiteout(own.node)) {
    // A whiteout of what never was says nothing.
    if (old == nullptr) return;
    const size_t slash = path.rfind('/');
    const size_t at = slash == std::string::npos ? 0 : slash + 1;
    for (const Change& directory : std::exchange(above_, {})) write(directory, out);
    return writeMark(path.substr(0, at) + ".wh." + path.substr(at), out);
  }
  const bool directory = isDirectory(own.node);
  const bool replaced = directory && own.ends && old != nullptr && isDirectory(old->node);
  const bool changed = old == nullptr || replaced || differs(own.node, old->node);
  const Layers ours = own.below;
  const Layers theirs = own.ends || old == nullptr ? Layers{} : old->below;
  Change change{path, std::move(own.node), own.layer, replaced};
  if (changed) writeWithParents(std::move(change), out);
  else if (directory) above_.push_back(std::move(change));
  // Invalidates what step() holds, which is done with it.
  if (directory) enter(std::move(path), ours, theirs);
}

void UpperPacker::writeWithParents(Change change, std::string& out) {
  for (const Change& directory : std::exchange(above_, {})) write(directory, out);
  write(change, out);
}

void UpperPacker::write(const Change& c, std::string& out) {
  const ScannedEntry& node = c.node;
  TarFacts facts;
  facts.type = typeOf(node.mode);
  if (facts.type == '\0') return;
  facts.path = c.path;
  facts.mode = node.mode & 07777;
  facts.uid = node.uid;
  facts.gid = node.gid;
  facts.mtime = node.mtime;
  facts.mtime_ns = node.mtime_ns;
  facts.major = node.major;
  facts.minor = node.minor;
  facts.target = node.target;
  if (facts.type == '5') {
    facts.path = c.path.empty() ? "./" : c.path + "/";
  } else if (node.links > 1) {
    const auto [first, added] = links_.try_emplace({node.device, node.inode}, c.path);
    if (!added) {
      facts.type = '1';
      facts.target = first->second;
    }
  }
  if (facts.type != '1')
    for (const auto& x : node.xattrs)
      if (isWantedXattr(x.first)) facts.xattrs.push_back(x);
  if (facts.type == '0') facts.size = node.size;
  out += tarHeader(facts);
  if (c.replaced) writeMark(c.path + "/.wh..wh..opq", out);
  if (facts.type == '0' && node.size > 0) file_ = PackedFile(UniqueFd(openFileBelow(c.layer, c.path)), c.path, node.size);
}

void UpperPacker::writeMark(const std::string& path, std::string& out) const {
  TarFacts facts;
  facts.path = path;
  facts.mode = 0600;
  out += tarHeader(facts);
}

}  // namespace ctr
