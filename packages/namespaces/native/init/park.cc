// See park.h.
#include "park.h"

#include "message.h"

namespace ctr {
namespace {

constexpr u64 kPage = 4096;
constexpr u64 kDontNeed = 4;  // MADV_DONTNEED: private memory without a file reads as zeros then (madvise(2))

/** Whole pages are given back, what lies beside them is zeroed. */
void forget(u8* from, u8* to) {
  while (from < to && ptr(from) % kPage != 0) *from++ = 0;
  while (from < to && ptr(to) % kPage != 0) *--to = 0;
  if (from < to) syscall6(__NR_madvise, ptr(from), static_cast<u64>(to - from), kDontNeed);
}

}  // namespace

void forgetOthers(const LaunchRequest& request) {
  const Arenas& all = request.all;
  for (u32 i = 0; i < all.made; i++) {
    Arena* arena = all.at(i);
    if (arena != request.arena && arena->large != nullptr) syscall6(__NR_munmap, ptr(arena->large), arena->large_size);
  }
  auto* own = reinterpret_cast<u8*>(request.arena);
  forget(all.memory, own);
  forget(own + Arenas::kSize, all.memory + all.made * Arenas::kSize);
  // Behind its own message lies the end of an earlier, longer one; behind that the stack that this runs on.
  const u64 used = request.arena->large != nullptr ? sizeof(MessageHeader)
                                                   : sizeof(MessageHeader) + u64{request.header.launch_size} + request.header.after_size;
  forget(request.arena->message + used, request.arena->message + kMessageSize);
}

i64 awaitProgram(int socket, u32 step, const StepContext& context) {
  if (context.parking == nullptr) return -kEINVAL;
  const Parking& parking = *context.parking;
  const ReportRecord parked = {static_cast<i32>(Stage::setup), static_cast<i32>(step), 0};
  const i64 said = retry([&] { return syscall6(__NR_write, static_cast<u64>(context.report_fd), ptr(&parked), sizeof parked); });
  if (said < 0) return said;
  // The numbers are those of descriptors that were closed meanwhile.
  context.slots->clear();
  MessageHeader header;
  u32 size = 0;
  i32 error = receiveMessage(socket, 0, {parking.message, parking.message_size}, *context.slots, header, size);
  // Nobody wants it any more, or somebody took its program back.
  if (error < 0 || !takeProgram(*parking.note)) exitNow(127);
  // In the place of the first program, whose steps are done.
  Program program;
  if (error == 0 && !decodeParkedProgram(parking.message, size, header, program)) error = kEINVAL;
  if (error != 0) endWithReport(context.report_fd, Stage::decode, 0, error);
  StepContext once = context;
  once.parking = nullptr;
  const Failure f = runStage(program, launch_stage::setup, once);
  const u32 last = program.counts[launch_stage::setup];
  endWithReport(once.report_fd, Stage::setup, static_cast<i32>(step) + 1 + (f.failed() ? f.step : static_cast<i32>(last) - 1), f.failed() ? f.error : kEINVAL);
}

}  // namespace ctr
