// The one place that says what a name in a layer means: where it lies, and whether it is a whiteout.
// SPEC(image-layer#whiteouts): <https://github.com/opencontainers/image-spec/blob/main/layer.md#whiteouts>
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "layer_limits.h"

namespace ctr {

enum class NameKind {
  root,       // the layer's own root: ".", "./", "/"
  plain,      // an ordinary name
  whiteout,   // ".wh.x": hides x of the layers below; `name` is x
  opaque,     // ".wh..wh..opq": hides everything below in this directory
  auxiliary,  // other ".wh..wh.*" names: AUFS's own bookkeeping, without meaning here
};

struct EntryName {
  NameKind kind = NameKind::plain;
  /** The directory's components; never empty strings, "." or "..". */
  std::vector<std::string> parent;
  /** The last component, for a whiteout what it hides. */
  std::string name;

  /** The parent as a path relative to the root; "" is the root. */
  std::string parentPath() const;
  /** The whole name, relative to the root. */
  std::string path() const;
};

/** Splits and classifies; throws LayerFailure for a name that leaves the layer, is empty, or passes a limit. */
EntryName classifyName(const std::string& raw, const Limits& limits);

/** The same for the target of a hard link, which must be a plain name. `entry` is for the message. */
EntryName classifyLinkTarget(const std::string& raw, const Limits& limits, const std::string& entry);

}  // namespace ctr
