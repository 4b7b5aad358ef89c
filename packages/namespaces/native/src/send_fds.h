// A message with descriptors over a socket, and the pipes that are made for it.
#pragma once
#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ctr {

/** The kernel takes more (SCM_MAX_FD), the monitor's messages have room for these. */
inline constexpr std::size_t kMaxFds = 64;

/** sendmsg(2) without waiting; false when the socket is full. Throws SyscallFailure as a JavaScript error. */
bool sendFds(Napi::Env env, int socket, std::span<const std::uint8_t> bytes, std::span<const std::int32_t> fds);

/**
 * The same with -1, -2 and -3 in `given` for the far ends of new pipes, to a program's standard input, output and error output; the near ends
 * come into `ours`, under 0, 1 and 2. False when the socket is full: nothing was done.
 */
bool sendWithPipes(Napi::Env env, int socket, std::span<const std::uint8_t> bytes, std::span<const std::int32_t> given, std::span<std::int32_t> ours);

}  // namespace ctr
