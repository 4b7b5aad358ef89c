// SCM_RIGHTS, unix(7).
#include "fd_passing.h"

#include <sys/socket.h>

#include <cstring>

#include "open_fds.h"
#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {
namespace {

constexpr std::size_t kMostFds = 8;

Napi::Value numbers(Napi::Env env, const int* values, std::size_t count) {
  Napi::Array result = Napi::Array::New(env, count);
  for (std::size_t i = 0; i < count; i++) result.Set(static_cast<std::uint32_t>(i), Napi::Number::New(env, values[i]));
  return result;
}

}  // namespace

/** socketpair(2): [ours, theirs], AF_UNIX, SOCK_SEQPACKET, close-on-exec */
Napi::Value socketPair(const Napi::CallbackInfo& info) {
  int fds[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), "socketpair");
  OpenFds& open = OpenFds::of(info.Env());
  for (const int fd : fds) open.add(fd);
  return numbers(info.Env(), fds, 2);
}

/** recvmsg(2) without waiting: the descriptors of one message; none at its end, EAGAIN when there is no message. */
Napi::Value receiveFds(const Napi::CallbackInfo& info) {
  const int socket = info[0].As<Napi::Number>().Int32Value();
  char byte = 0;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  iovec iov = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  check(retry([&] { return ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); }), "recvmsg");
  int fds[kMostFds];
  std::size_t count = 0;
  if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
    count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(fds, CMSG_DATA(c), count * sizeof(int));
  }
  OpenFds& open = OpenFds::of(info.Env());
  for (std::size_t i = 0; i < count; i++) open.add(fds[i]);
  return numbers(info.Env(), fds, count);
}

}  // namespace ctr
