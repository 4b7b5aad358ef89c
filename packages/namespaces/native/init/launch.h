// Makes the process of a plan. Everything between clone and exec happens in launch.cc and steps.cc.
#pragma once
#include "steps.h"

namespace ctr {

inline constexpr u32 kStackSize = 64 * 1024;
inline constexpr u32 kMessageSize = 192 * 1024;

/**
 * What the kernel and the child leave behind for us, in memory that is shared whatever the style of the clone: it can
 * be read after the child is gone, also when it was killed before it could say anything.
 */
struct ChildNote {
  u32 exec_tried;
  u32 taken;  // of a parked child, see park.h
  i32 entered_pid;  // of the child that the process in between made (CLONE_PARENT_SETTID); 0: none yet
};

/** Where one launch lives from its message until exec: its program, its descriptors and the child's stack. */
struct Arena {
  Arena* next_free;
  ChildNote* own_note;
  ChildNote* note;  // of this launch
  Slots slots;
  Program program;
  u8* large;  // mapping of a program that came in a memfd, or null
  u64 large_size;
  alignas(16) u8 message[kMessageSize];
  alignas(16) u8 stack[kStackSize];
};

/** What a failing child writes into the report pipe. The pipe is close-on-exec: end of file means exec, or death. */
struct ReportRecord {
  i32 stage, step, error;
};

/** All there are, each of them on pages of its own. */
struct Arenas {
  static constexpr u32 kCount = 24;
  static constexpr u64 kSize = (sizeof(Arena) + 4095) & ~u64{4095};
  u8* memory;
  u32 made;
  Arena* at(u32 i) const { return reinterpret_cast<Arena*>(memory + i * kSize); }
};

struct LaunchRequest {
  MessageHeader header;
  Arena* arena;
  int monitor_pidfd;
  Arenas all;
};

struct LaunchResult {
  Failure failure;  // of `stage`
  Stage stage = Stage::clone;
  i32 pid = -1;            // of the child, or of the one that enters first
  bool in_between = false;  // it is the one that enters first, whose child the program will be
  OwnedFd pidfd;
  OwnedFd report;
};

/**
 * Clones, lets the child run its setup stage and meanwhile runs the beside stage with `ours`, a copy of the arena's slots. Returns as soon as the
 * child can go its way alone.
 */
LaunchResult launch(const LaunchRequest& request, Slots& ours);

/** clone3(2) of a child that runs `body(argument)` on `stack` and never returns; the child's pid or -errno. */
i64 cloneOnStack(clone_args& args, u8* stack, u64 stack_size, void (*body)(void*), void* argument);

/** The last words of a child, and its end. */
[[noreturn]] void endWithReport(int report, Stage stage, i32 step, i32 error);

/** From here on the caller dies with the monitor; false if that is gone already. What a child of ours does first. */
bool dieWithMonitor(const Program& program, const StepContext& context);

}  // namespace ctr
