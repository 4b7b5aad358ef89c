// What is made ahead: descriptors that the next plan of a kind finds in its slots, and makes itself when there are none.
//
// A new network namespace is a third of what a start costs, and the same for every container. The plan that could use one
// brings the steps that make one (the spare stage of its after program). Once its program runs and the monitor has nothing to do, a process
// beside it runs them; it shares our memory and descriptors, so that what it opens is ours. It is alone with that: the
// kernel's lock of all networks, which it may wait for, holds nobody up.
#pragma once
#include "plan.h"
#include "steps.h"

namespace ctr {

class Spares {
 public:
  /** Into the slots of a plan of this key, which owns them from now on. */
  void give(u32 key, Slots& slots);
  /** A plan of this key runs: more may be wanted. `bytes` is its after program, which is copied once. */
  void want(u32 key, const u8* bytes, u32 size);
  /** When to call make(), on the clock of monotonicNs(); 0: never. */
  u64 dueAt() const { return due_at_ns_; }
  /** Starts the process that makes one: maker(), to be watched, where that worked. */
  void make(int monitor_pidfd);
  int maker() const { return maker_.get(); }
  /** It has ended. */
  void made();

 private:
  static constexpr u32 kMost = 2;     // a network namespace takes about 120 KiB of the kernel's memory
  static constexpr u32 kFds = 4;      // that one spare may consist of
  static constexpr u64 kRestNs = 1'000'000;
  static constexpr u32 kRecipeSize = 32 * 1024;
  static constexpr u32 kStackSize = 16 * 1024;
  struct Spare {
    u32 count;
    struct {
      u32 slot;
      int fd;
    } held[kFds];
  };
  static void body(void* self);
  bool keepMade();
  void arrange();

  u32 key_ = 0;  // 0: nothing is made ahead
  u32 ready_ = 0;
  Spare spares_[kMost] = {};
  u64 due_at_ns_ = 0;
  OwnedFd maker_;
  int monitor_pidfd_ = -1;
  Program recipe_;
  Slots making_;
  alignas(8) u8 recipe_bytes_[kRecipeSize];
  alignas(16) u8 stack_[kStackSize];
};

}  // namespace ctr
