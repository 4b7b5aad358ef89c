// The calls behind src/terminal and the checks of options: facts and descriptors, no policy.
#include "node_lacks.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "open_fds.h"
#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {
namespace {

constexpr std::size_t kMostFds = 8;

int intArg(const Napi::CallbackInfo& info, std::size_t i) { return info[i].As<Napi::Number>().Int32Value(); }

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

/** recvmsg(2) without waiting: the descriptors of one message. Their flags stay, since they may be shared with a program. */
Napi::Value receiveFds(const Napi::CallbackInfo& info) {
  char byte = 0;
  alignas(cmsghdr) char control[CMSG_SPACE(kMostFds * sizeof(int))];
  iovec iov = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  check(retry([&] { return ::recvmsg(intArg(info, 0), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); }), "recvmsg");
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

/** ioctl(2), TIOCSWINSZ: setWindowSize(fd, columns, rows) */
Napi::Value setWindowSize(const Napi::CallbackInfo& info) {
  winsize size = {};
  size.ws_col = static_cast<unsigned short>(intArg(info, 1));
  size.ws_row = static_cast<unsigned short>(intArg(info, 2));
  return Napi::Number::New(info.Env(), check(::ioctl(intArg(info, 0), TIOCSWINSZ, &size), "ioctl"));
}

/** poll(2) without waiting: whether there is something to read. The kernel moves along what was just written before it answers (n_tty_poll). */
Napi::Value readable(const Napi::CallbackInfo& info) {
  pollfd p = {intArg(info, 0), POLLIN, 0};
  return Napi::Boolean::New(info.Env(), check(retry([&] { return ::poll(&p, 1, 0); }), "poll") == 1 && (p.revents & POLLIN) != 0);
}

/** landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION: 0 where there is none */
Napi::Value landlockAbi(const Napi::CallbackInfo& info) {
  constexpr long kCreateRuleset = 444;
  const long version = ::syscall(kCreateRuleset, nullptr, 0, 1);
  return Napi::Number::New(info.Env(), static_cast<double>(version < 0 ? 0 : version));
}

}  // namespace ctr
