// See spares.h.
#include "spares.h"

#include "launch.h"
#include "monitor.h"

namespace ctr {

void Spares::give(u32 key, Slots& slots) {
  if (key == 0 || key != key_ || ready_ == 0) return;
  const Spare& spare = spares_[ready_ - 1];
  for (u32 i = 0; i < spare.count; i++)
    if (slots.fd[spare.held[i].slot] >= 0) return;
  for (u32 i = 0; i < spare.count; i++) slots.fd[spare.held[i].slot] = spare.held[i].fd;
  ready_--;
}

void Spares::want(u32 key, const u8* bytes, u32 size) {
  // The first kind is the only one: others do without.
  if (key == 0 || size > kRecipeSize || (key_ != 0 && key != key_)) return;
  if (key_ == 0) {
    __builtin_memcpy(recipe_bytes_, bytes, size);
    if (!decodeProgram(recipe_bytes_, size, recipe_)) return;
    key_ = key;
  }
  arrange();
}

/** After a rest, since whoever starts a container may be about to start the next. */
void Spares::arrange() {
  if (ready_ < kMost && !maker_.valid() && recipe_.counts[after_stage::spare] > 0) due_at_ns_ = monotonicNs() + kRestNs;
}

void Spares::body(void* argument) {
  auto& self = *static_cast<Spares*>(argument);
  const StepContext context{&self.making_, self.monitor_pidfd_, nullptr, nullptr};
  const bool good = dieWithMonitor(self.recipe_, context) && !runStage(self.recipe_, after_stage::spare, context).failed();
  exitNow(good ? 0 : 1);
}

void Spares::make(int monitor_pidfd) {
  due_at_ns_ = 0;
  making_.clear();
  monitor_pidfd_ = monitor_pidfd;
  int pidfd = -1;
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_FILES | CLONE_PIDFD;
  args.pidfd = ptr(&pidfd);
  args.exit_signal = kSigChld;
  if (cloneOnStack(args, stack_, kStackSize, body, this) > 0) maker_.reset(pidfd);
}

bool Spares::keepMade() {
  Spare& spare = spares_[ready_];
  spare.count = 0;
  for (u32 i = 0; i < kMaxSlots; i++) {
    if (making_.fd[i] < 0) continue;
    if (spare.count == kFds) return false;
    spare.held[spare.count++] = {i, making_.fd[i]};
  }
  return spare.count > 0;
}

void Spares::made() {
  SigInfo info = {};
  retry([&] { return syscall6(__NR_waitid, P_PIDFD, static_cast<u64>(maker_.get()), ptr(&info), WEXITED | __WALL, 0); });
  maker_.reset();
  if (info.code == kCldExited && info.status == 0 && keepMade()) {
    ready_++;
    return arrange();
  }
  // What failed once would fail again: the plans make it themselves, and tell what is wrong.
  making_.closeAll();
  recipe_.counts[after_stage::spare] = 0;
}

}  // namespace ctr
