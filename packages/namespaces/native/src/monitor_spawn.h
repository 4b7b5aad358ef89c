// Starts the monitor process from a sealed copy of its program.
#pragma once
#include <cstddef>

#include "unique_fd.h"

namespace ctr {

struct SpawnedMonitor {
  UniqueFd control;   // SOCK_SEQPACKET, our end
  UniqueFd lifeline;  // write end of the pipe whose end of file tells the monitor that we are gone
  UniqueFd pidfd;
  int pid = -1;
};

/** `program` is the whole ctr-init executable. Throws SyscallFailure. */
SpawnedMonitor spawnMonitor(const void* program, std::size_t size);

}  // namespace ctr
