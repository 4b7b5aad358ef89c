// Checks a program from the wire. Nothing here trusts a length, an offset or an index.
#include "plan.h"

namespace ctr {
namespace {

bool validArg(const WireStep& step, u32 i, u32 data_size) {
  switch (static_cast<ArgKind>(step.arg_kind[i])) {
    case ArgKind::value:
      return true;
    case ArgKind::pointer:
      return step.args[i] < data_size;
    case ArgKind::slot:
      return step.args[i] < kMaxSlots;
  }
  return false;
}

bool validStep(const WireStep& step, u32 data_size, u32 patch_count) {
  if (step.op > static_cast<u16>(Op::await_program)) return false;
  if (step.into < -1 || step.into >= static_cast<i32>(kMaxSlots)) return false;
  if (u32{step.patch_first} + step.patch_count > patch_count) return false;
  for (u32 i = 0; i < 6; i++)
    if (!validArg(step, i, data_size)) return false;
  const bool takes_path = step.op == static_cast<u16>(Op::report_file) || step.op == static_cast<u16>(Op::remove_tree);
  if (step.op == static_cast<u16>(Op::make_target) && static_cast<ArgKind>(step.arg_kind[1]) != ArgKind::pointer) return false;
  return !takes_path || static_cast<ArgKind>(step.arg_kind[0]) == ArgKind::pointer;
}

bool validPatch(const WirePatch& patch, u32 data_size) {
  if (patch.kind == static_cast<u16>(ArgKind::pointer)) return data_size >= 8 && patch.at <= data_size - 8 && patch.value < data_size;
  if (patch.kind == static_cast<u16>(ArgKind::slot)) return data_size >= 4 && patch.at <= data_size - 4 && patch.value < kMaxSlots;
  return false;
}

}  // namespace

bool decodeProgram(u8* bytes, u32 size, Program& out) {
  if (size < sizeof(ProgramHeader)) return false;
  const auto* header = reinterpret_cast<const ProgramHeader*>(bytes);
  u64 steps = 0;
  for (const u16 n : header->stage_steps) steps += n;
  const u64 steps_size = steps * sizeof(WireStep);
  const u64 patches_size = u64{header->patch_count} * sizeof(WirePatch);
  if (sizeof(ProgramHeader) + steps_size + patches_size + header->data_size != size) return false;

  const auto* step = reinterpret_cast<const WireStep*>(bytes + sizeof(ProgramHeader));
  out.patches = reinterpret_cast<const WirePatch*>(bytes + sizeof(ProgramHeader) + steps_size);
  out.data = bytes + sizeof(ProgramHeader) + steps_size + patches_size;
  out.data_size = header->data_size;
  // A zero at the end: no string can run past the data.
  if (out.data_size > 0 && out.data[out.data_size - 1] != 0) return false;
  for (u32 stage = 0; stage < kStages; stage++) {
    out.steps[stage] = step;
    out.counts[stage] = header->stage_steps[stage];
    for (u32 i = 0; i < out.counts[stage]; i++, step++)
      if (!validStep(*step, out.data_size, header->patch_count)) return false;
  }
  for (u32 i = 0; i < header->patch_count; i++)
    if (!validPatch(out.patches[i], out.data_size)) return false;
  return true;
}

bool decodeParkedProgram(u8* message, u32 size, const MessageHeader& header, Program& out) {
  if (static_cast<MessageKind>(header.kind) != MessageKind::program || header.flags != 0 || header.after_size != 0) return false;
  if (size < sizeof(MessageHeader) || header.launch_size != size - sizeof(MessageHeader)) return false;
  return decodeProgram(message + sizeof(MessageHeader), header.launch_size, out);
}

}  // namespace ctr
