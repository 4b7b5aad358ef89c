// Descriptors that outlive a launch: what the prepare stage of one plan opened, for the next plan of the same key.
//
// To enter a running container is to open the same files of its control groups each time, a dozen paths that never change. The
// first plan of a key opens them, and those after it find them open and skip the stage. They end with the container that
// they are of, or when others need the room: the monitor's descriptors are few.
#pragma once
#include "plan.h"
#include "steps.h"

namespace ctr {

class Kept {
 public:
  /** Gives the slots their descriptors, which stay ours. False when there are none of this key. */
  bool lend(u32 key, Slots& slots);
  /** Takes over what is set in `now` and was not `before`; in the place of what was used longest ago. */
  void take(u32 key, u32 of, const Slots& before, const Slots& now);
  /** Unsets in `slots` what is ours: nobody else closes it. */
  void leaveOut(u32 key, Slots& slots) const;
  /** That container has ended. */
  void forget(u32 of);

 private:
  static constexpr u32 kSets = 8;
  static constexpr u32 kMost = 16;
  struct Set {
    u32 key;  // 0: unused
    u32 of;
    u64 used_at;
    u32 count;
    struct {
      u32 slot;
      int fd;
    } held[kMost];
  };
  Set* find(u32 key);
  static void close(Set& set);

  Set sets_[kSets] = {};
  u64 uses_ = 0;
};

}  // namespace ctr
