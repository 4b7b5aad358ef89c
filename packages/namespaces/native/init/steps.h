// Runs the steps of a stage: the one loop that every container is made by.
#pragma once
#include "plan.h"

namespace ctr {

/** Descriptors by index; -1 is unset. */
struct Slots {
  int fd[kMaxSlots];
  void clear() {
    for (int& f : fd) f = -1;
  }
  /** Each number once: a slot that was closed or given away is unset. */
  void closeAll() {
    for (int& f : fd) {
      if (f >= 0) syscall6(__NR_close, static_cast<u64>(f));
      f = -1;
    }
  }
};

struct Parking;

/** Which step failed and how; step -1 means none. */
struct Failure {
  i32 step = -1;
  i32 error = 0;
  bool failed() const { return step >= 0; }
};

/** What the composite operations need from the monitor. */
struct StepContext {
  Slots* slots;
  int monitor_pidfd;                                       // readable once the monitor is dead
  void (*report_file)(void* sink, u32 step, const char* path);  // null where the stage may not report
  void* sink;
  mutable int report_fd = -1;      // of a child: stays open until exec; move_report changes the number
  u32* exec_tried = nullptr;       // of a child: set before each execve
  int gate = -1;                   // of a child: where the monitor tells that it has done its part
  Parking* parking = nullptr;      // of a child that may wait for its program: see park.h
};

/** Runs one step; returns its result, negative errno when it failed. */
i64 runStep(const Program& program, const WireStep& step, u32 index, const StepContext& context);

/** True when the step's own list says that this errno is no failure. */
bool allowed(const WireStep& step, i64 result);

/** Runs all steps of a stage until one fails. */
Failure runStage(const Program& program, u32 stage, const StepContext& context);

/** Deletes a directory and all below it: without following links, without leaving its file system. See remove_tree.cc. */
i64 removeTree(const char* path);

/**
 * seccomp(2) with a listener that goes to Node over `socket`; after it the filter binds, and only execve may follow.
 * `step` and `report` are for a failure. See listener.cc.
 */
i64 listenSeccomp(u64 flags, u64 program, int socket, u32 step, int report);

/**
 * The place of a path that something is to be mounted on, made where it is missing: a descriptor (O_PATH), or -errno. `mount`
 * tells whether a file or a directory; below 0: a directory. See make_target.cc.
 */
i64 makeTarget(int mount, const char* path);

/** Copies what is in directory `from` into directory `to`, and its own owner and mode too if asked. See copy_tree.cc. */
i64 copyTree(int from, int to, bool with_mode);

}  // namespace ctr
