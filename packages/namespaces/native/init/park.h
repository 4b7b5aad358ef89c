// A parked launch: a process that has done all of its setup but its program, and waits for that where it is.
//
//   Node                                  the process                       monitor
//     │                                     │ setup steps … await_program     │
//     │                                     │── {setup, n, 0} on the report ─>│ parked
//     │ program + descriptors ─────────────>│ take the note                   │
//     │                                     │ its setup steps: execve ──────> │ end of file: exec happened
//
// The socket is the process's alone, and whoever holds its other end closes it to let the process go. Until exec it is supervised as any other
// child on its way: a failure comes over the report pipe, with the number of the step counted on from await_program.
//
// It may be stopped or frozen by somebody inside. Then its program is asked back (OrderKind::withdraw): whoever is first to set the note has it.
#pragma once
#include "launch.h"

namespace ctr {

/** What a child needs to wait: its note is one that no other launch uses. */
struct Parking {
  ChildNote* note;
  u8* message;
  u32 message_size;
};

inline bool parks(const LaunchRequest& request) { return (request.header.flags & kParks) != 0; }

/** Whether the program is the caller's to run, or to take back: true once for each parked child. */
inline bool takeProgram(ChildNote& note) {
  u32 free = 0;
  return __atomic_compare_exchange_n(&note.taken, &free, 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/** Says that it waits, waits, and becomes the program. Returns only where there is nothing to wait for: -errno. `step` is its own number. */
i64 awaitProgram(int socket, u32 step, const StepContext& context);

/**
 * Of the monitor's memory, which a child has a copy of, what belongs to other launches: their environments are secrets, and a parked child may
 * stand beside strangers for long.
 */
void forgetOthers(const LaunchRequest& request);

}  // namespace ctr
