// See send_fds.h.
#include "send_fds.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "open_fds.h"
#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {
namespace {

constexpr std::size_t kStreams = 3;

}  // namespace

bool sendFds(Napi::Env env, int socket, std::span<const std::uint8_t> bytes, std::span<const std::int32_t> fds) {
  if (fds.size() > kMaxFds) throw toError(env, {E2BIG, "sendmsg", {}});
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  iovec iov = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (const std::size_t size = fds.size_bytes(); size > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(c), fds.data(), size);
  }
  if (retry([&] { return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL); }) >= 0) return true;
  if (errno != EAGAIN) throw toError(env, {errno, "sendmsg", {}});
  return false;
}

bool sendWithPipes(Napi::Env env, int socket, std::span<const std::uint8_t> bytes, std::span<const std::int32_t> given, std::span<std::int32_t> ours) {
  if (given.size() > kMaxFds) throw toError(env, {E2BIG, "sendmsg", {}});
  std::array<std::int32_t, kMaxFds> fds;
  std::array<UniqueFd, kStreams> near, far;
  for (std::size_t i = 0; i < given.size(); i++) {
    fds[i] = given[i];
    if (fds[i] >= 0) continue;
    const auto n = static_cast<std::size_t>(-1 - fds[i]);
    if (n >= kStreams || near[n].valid()) throw toError(env, {EBADF, "sendmsg", {}});
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw toError(env, {errno, "pipe2", {}});
    near[n].reset(ends[n == 0 ? 1 : 0]);
    far[n].reset(ends[n == 0 ? 0 : 1]);
    fds[i] = far[n].get();
  }
  if (!sendFds(env, socket, bytes, {fds.data(), given.size()})) return false;
  for (std::size_t n = 0; n < kStreams && n < ours.size(); n++)
    if (near[n].valid()) ours[n] = OpenFds::of(env).add(near[n].release());
  return true;
}

}  // namespace ctr
