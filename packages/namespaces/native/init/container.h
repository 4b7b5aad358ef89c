// The monitor's record of one container (or of one hold), from its message until everything of it is gone.
#pragma once
#include "launch.h"

namespace ctr {

enum class State : u32 { launching, parked, running, dying, cleaning, held };

/** Events that end in a message to Node; the mirror of src/launcher/events.ts. */
enum class EventKind : u32 { ready = 1, started = 2, failed = 3, exited = 4, cleaned = 5, held = 6, parked = 7, withdrawn = 8 };

struct EventHeader {
  u32 kind;
  u32 id;
  i32 a, b, c, d;
  i64 user_us, system_us, max_rss_kb;
  u64 monotonic_ns;
};
static_assert(sizeof(EventHeader) == 56);

/** What an epoll event belongs to. */
struct Watch {
  enum class Kind : u32 { control, lifeline, report, process, helper, spare };
  Kind kind;
  struct Container* container;
};

struct Container {
  Container *next, *previous;
  u64 mapped_size;
  u32 id;
  State state;
  bool is_hold;
  bool started;        // STARTED was sent: Node expects EXITED and CLEANED, else FAILED
  bool own_pids;       // in a pid namespace of its own, which takes all its processes along
  bool process_gone;
  bool parks;          // waits for its program, and the note is its own
  Arena* arena;        // until exec, or until it waits
  ChildNote* note;     // good until exec
  OwnedFd pidfd, report, helper;
  i32 pid;
  OwnedFd enter_pidfd;
  OwnedFd around;      // the user namespace from inside of which trees are removed; none: from where we are
  Failure failure;
  Stage failure_stage;
  SigInfo exit_info;
  rusage usage;
  // clean-up
  bool retrying;       // a step is to be tried again at retry_at_ns
  u32 cleanup_at;
  u64 retry_until_ns, retry_at_ns;
  u32 cleanup_failed;
  Failure cleanup_failures[4];
  Watch report_watch, process_watch, helper_watch;
  Slots* held_slots;   // of a hold
  u32 spare_key, after_size;
  Program after;
  // the after program's bytes follow
};

}  // namespace ctr
