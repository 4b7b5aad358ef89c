// Attributes in overlayfs's own name space, which no mounted overlay shows.
#pragma once

namespace ctr {

struct OverlayMarks {
  /** overlayfs's: nothing of the layers below shows in this directory. */
  const char* opaque;
  /**
   * Ours: the archive has entries in this directory but none for it, so that its owner and mode are for the layers below to
   * say. src/parents.ts reads it when layers are put together, since one layer serves many images.
   */
  const char* implicit;
  /** Ours, of a layer's root: there are such directories. Else nobody need look for them. */
  const char* implicit_below;
};

inline const OverlayMarks& overlayMarks(bool user) {
  static constexpr OverlayMarks kTrusted{"trusted.overlay.opaque", "trusted.overlay.ctr-implicit", "trusted.overlay.ctr-implicit-below"};
  static constexpr OverlayMarks kUser{"user.overlay.opaque", "user.overlay.ctr-implicit", "user.overlay.ctr-implicit-below"};
  return user ? kUser : kTrusted;
}

}  // namespace ctr
