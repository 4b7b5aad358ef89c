// Names are bytes: nothing is normalised or folded, so two names are equal only when the kernel says so (CVE-2021-37712).
#include "entry_name.h"

#include "layer_failure.h"

namespace ctr {
namespace {

using View = std::string_view;

constexpr View kWhiteout = ".wh.";
constexpr View kAuxiliary = ".wh..wh.";
constexpr View kOpaque = ".wh..wh..opq";
constexpr size_t kNameMax = 255;

std::vector<std::string> split(const std::string& raw, const Limits& limits, const std::string& entry) {
  if (raw.empty()) refuse("empty-name", entry);
  if (raw.size() > limits.path_bytes) overLimit("path-length", entry);
  std::vector<std::string> out;
  for (size_t at = 0; at < raw.size();) {
    const size_t slash = std::min(raw.find('/', at), raw.size());
    const View part = View(raw).substr(at, slash - at);
    at = slash + 1;
    if (part.empty() || part == ".") continue;
    // Resolving ".." by its text is wrong as soon as a link is in the way, and no image needs it: refused, not guessed.
    if (part == "..") refuse("leaves-layer", entry);
    if (part.size() > kNameMax) overLimit("component-length", entry);
    out.emplace_back(part);
    if (out.size() > limits.depth) overLimit("depth", entry);
  }
  return out;
}

/** What comes after ".wh." must be one normal component: ".wh..." once deleted the parent (GHSA-7pxx-6hq6-x3jj). */
std::string hiddenName(const std::string& name, const std::string& entry) {
  const std::string hidden = name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..") refuse("whiteout-name", entry);
  return hidden;
}

std::string join(const std::vector<std::string>& parts) {
  std::string out;
  for (const auto& p : parts) {
    if (!out.empty()) out += '/';
    out += p;
  }
  return out;
}

}  // namespace

std::string EntryName::parentPath() const { return join(parent); }

std::string EntryName::path() const { return parent.empty() ? name : parentPath() + "/" + name; }

EntryName classifyName(const std::string& raw, const Limits& limits) {
  EntryName out;
  out.parent = split(raw, limits, raw);
  if (out.parent.empty()) {
    out.kind = NameKind::root;
    return out;
  }
  out.name = std::move(out.parent.back());
  out.parent.pop_back();
  for (const auto& part : out.parent) {
    if (View(part).starts_with(kAuxiliary)) out.kind = NameKind::auxiliary;
    else if (View(part).starts_with(kWhiteout) && out.kind == NameKind::plain) refuse("whiteout-name", raw);
  }
  if (out.kind == NameKind::auxiliary || !View(out.name).starts_with(kWhiteout)) return out;
  if (out.name == kOpaque) {
    out.kind = NameKind::opaque;
  } else if (View(out.name).starts_with(kAuxiliary)) {
    out.kind = NameKind::auxiliary;
  } else {
    out.kind = NameKind::whiteout;
    out.name = hiddenName(out.name, raw);
  }
  return out;
}

EntryName classifyLinkTarget(const std::string& raw, const Limits& limits, const std::string& entry) {
  EntryName out;
  out.parent = split(raw, limits, entry);
  if (out.parent.empty()) refuse("link-target", entry);
  out.name = std::move(out.parent.back());
  out.parent.pop_back();
  return out;
}

}  // namespace ctr
