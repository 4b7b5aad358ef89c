// One message with the descriptors that come along, from the control socket or from a parked process's own.
#pragma once
#include "steps.h"

namespace ctr {

struct Buffer {
  u8* bytes;
  u32 size;
};

/**
 * recvmsg(2) into `buffer`, the descriptors into the slots that the header names. 0: it is whole; above 0: what is wrong with it, its header
 * being there; below: there is none, and kEndOfFile that there will be none.
 */
i32 receiveMessage(int socket, u32 flags, Buffer buffer, Slots& slots, MessageHeader& header, u32& size);

inline constexpr i32 kNoMessage = -1, kEndOfFile = -2;

}  // namespace ctr
