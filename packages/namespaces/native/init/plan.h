// The wire format of a plan, the mirror of src/plan/encode-plan.ts, and its checked view.
//
//   message  = MessageHeader, launch program, after program            (little endian, 8-byte aligned)
//   program  = ProgramHeader, WireStep[], WirePatch[], data            (data ends with a zero byte)
//
// To a parked process, over the socket that is its own, goes a message with a launch program of which it runs the setup stage (park.h).
//
// The sender is the Node process that owns us, so a plan is trusted in what it asks for; it is checked so
// that a damaged one is refused instead of read out of bounds.
#pragma once
#include "sys.h"

namespace ctr {

inline constexpr u32 kMagic = 0x31727463;  // "ctr1"
inline constexpr u32 kMaxSlots = 512;
inline constexpr u32 kMaxFds = 64;

enum class MessageKind : u16 { launch = 1, hold = 2, program = 3 };

/** Orders come over the lifeline, so that they never wait behind plans that nobody can take yet. Written and read whole (pipe(7)). */
enum class OrderKind : u32 { release = 1, kill = 2, withdraw = 3 };

struct Order {
  u32 kind;
  u32 id;
};
static_assert(sizeof(Order) == 8);

enum LaunchFlags : u32 {
  kShareMemory = 1,  // CLONE_VM: see launch.cc for which children
  kWriteMaps = 2,    // the monitor writes uid_map and gid_map before the child goes on
  kDenySetgroups = 4,
  kFromMemfd = 8,  // the programs are in the memfd that is the last descriptor, too large for a datagram
  kParks = 16,    // its setup stage waits for a program, see park.h
};

struct MessageHeader {
  u32 magic;
  u16 kind;
  u16 fd_count;    // descriptors that come along
  u32 id;
  u32 flags;
  u64 clone_flags;
  i32 cgroup_slot;  // -1: none
  u32 launch_size;  // bytes of the launch program
  u32 after_size;   // bytes of the after program
  u32 uid_map;      // offset of the text in the launch program's data
  u32 gid_map;
  i32 pid_slot;     // pidfd of the process whose pid namespace the child is born in; -1: none
  u32 keep_key;     // what the prepare stage opens is kept for the next plan of this key, see kept.h; 0: it is not
  u32 keep_of;      // the container at whose end it is let go
  u32 spare_key;    // finds what was made ahead for this key in its slots, see spares.h; 0: nothing
  u32 reserved;
  u16 fd_slots[kMaxFds];  // the slot of each descriptor that comes along
};
static_assert(sizeof(MessageHeader) == 64 + 2 * kMaxFds);

/** In the order in which they run; the numbers are in failure reports. */
enum class Stage : u32 { decode = 0, prepare = 1, clone = 2, maps = 3, beside = 4, enter = 5, setup = 6, kill = 7, collect = 8, cleanup = 9 };

/** Where a stage's steps are in its program: the launch program, or the after program. */
namespace launch_stage {
inline constexpr u32 prepare = 0, beside = 1, enter = 2, setup = 3;
}
namespace after_stage {
inline constexpr u32 kill = 0, collect = 1, cleanup = 2, spare = 3;
}
inline constexpr u32 kStages = 4;

struct ProgramHeader {
  u16 stage_steps[kStages];
  u16 patch_count;
  u16 reserved;
  u32 data_size;
};
static_assert(sizeof(ProgramHeader) == 16);

enum class Op : u16 {
  syscall = 0, report_file = 1, remove_tree = 2, assert_monitor = 3, close_fds = 4, finish = 5, listen_seccomp = 6, move_report = 7,
  make_target = 8, copy_tree = 9, await_monitor = 10, await_program = 11
};
enum class ArgKind : u8 { value = 0, pointer = 1, slot = 2 };

struct WireStep {
  u16 op;
  i16 into;  // slot that takes the result, or -1
  u32 nr;
  u8 arg_kind[6];
  u8 skip_on_allowed, skip_on_success;
  u16 allow[4];  // errnos that are no failure; 0: unused
  u64 args[6];
  u16 patch_first, patch_count;
  u32 reserved;
};
static_assert(sizeof(WireStep) == 80);

/** Whether a remove_tree is to be made from inside of the user namespace in the slot that follows the path. */
inline bool removesWithin(const WireStep& step) {
  return step.op == static_cast<u16>(Op::remove_tree) && static_cast<ArgKind>(step.arg_kind[1]) == ArgKind::slot;
}

/** Puts a pointer (8 bytes) or a slot's descriptor (4 bytes) into the data just before a step. */
struct WirePatch {
  u32 at;
  u16 kind;
  u16 reserved;
  u64 value;
};
static_assert(sizeof(WirePatch) == 16);

/** A program whose every offset has been checked. The memory belongs to the launch. */
struct Program {
  const WireStep* steps[kStages] = {};
  u32 counts[kStages] = {};
  const WirePatch* patches = nullptr;
  u8* data = nullptr;
  u32 data_size = 0;

  const char* text(u32 offset) const { return reinterpret_cast<const char*>(data + offset); }
};

/** Checks `size` bytes at `bytes` and fills `out`; false when anything points outside. */
bool decodeProgram(u8* bytes, u32 size, Program& out);

/** The same for the program of a whole message to a parked process, whose header is a copy of its first bytes. */
bool decodeParkedProgram(u8* message, u32 size, const MessageHeader& header, Program& out);

}  // namespace ctr
