// Looking at namespaces by ioctl_ns(2), and the sockets over which a process in other namespaces hands descriptors back.
#include "namespace_calls.h"

#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "open_fds.h"
#include "send_fds.h"
#include "syscall_failure.h"

namespace ctr {
namespace {

int intArg(const Napi::CallbackInfo& info, std::size_t i) { return info[i].As<Napi::Number>().Int32Value(); }

}  // namespace

/** NS_GET_USERNS: the user namespace that owns it; a new descriptor */
Napi::Value namespaceOwner(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OpenFds::of(info.Env()).add(check(::ioctl(intArg(info, 0), NS_GET_USERNS), "ioctl")));
}

/** NS_GET_PARENT: the one around a pid or user namespace; a new descriptor */
Napi::Value namespaceParent(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), OpenFds::of(info.Env()).add(check(::ioctl(intArg(info, 0), NS_GET_PARENT), "ioctl")));
}

/** NS_GET_NSTYPE: the CLONE_NEW… flag of its kind */
Napi::Value namespaceType(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), check(::ioctl(intArg(info, 0), NS_GET_NSTYPE), "ioctl"));
}

/** NS_GET_OWNER_UID: who made a user namespace */
Napi::Value namespaceOwnerUid(const Napi::CallbackInfo& info) {
  uid_t uid = 0;
  check(::ioctl(intArg(info, 0), NS_GET_OWNER_UID, &uid), "ioctl");
  return Napi::Number::New(info.Env(), uid);
}

/** socketpair(2) of datagrams that keep their order: [one end, the other] */
Napi::Value socketPair(const Napi::CallbackInfo& info) {
  int fds[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), "socketpair");
  OpenFds& open = OpenFds::of(info.Env());
  open.add(fds[0]);
  open.add(fds[1]);
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(0u, Napi::Number::New(info.Env(), fds[0]));
  result.Set(1u, Napi::Number::New(info.Env(), fds[1]));
  return result;
}

namespace {

/** One message: its descriptors, and who sent it where the socket passes that. */
struct Received {
  int fds[kMaxFds];
  std::size_t count = 0;
  pid_t pid = 0;
};

/** recvmsg(2) without waiting; false when there is no message. */
bool receive(Napi::Env env, int socket, Received& got) {
  char byte;
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int)) + CMSG_SPACE(sizeof(ucred))];
  iovec iov = {&byte, 1};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const auto n = retry([&] { return ::recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (n == 0 || (n < 0 && errno == EAGAIN)) return false;
  check(n, "recvmsg");
  OpenFds& open = OpenFds::of(env);
  for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
    if (c->cmsg_level != SOL_SOCKET) continue;
    if (c->cmsg_type == SCM_CREDENTIALS) {
      ucred sender;
      std::memcpy(&sender, CMSG_DATA(c), sizeof sender);
      got.pid = sender.pid;
    }
    if (c->cmsg_type != SCM_RIGHTS) continue;
    got.count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    std::memcpy(got.fds, CMSG_DATA(c), got.count * sizeof(int));
    for (std::size_t i = 0; i < got.count; i++) open.add(got.fds[i]);
  }
  // This process has no number left for one of them (unix(7)).
  if (message.msg_flags & MSG_CTRUNC) {
    for (std::size_t i = 0; i < got.count; i++) ::close(open.release(got.fds[i]));
    throw SyscallFailure{EMFILE, "recvmsg", {}};
  }
  return true;
}

Napi::Array listOf(Napi::Env env, const Received& got) {
  Napi::Array result = Napi::Array::New(env, got.count);
  for (std::uint32_t i = 0; i < got.count; i++) result.Set(i, Napi::Number::New(env, got.fds[i]));
  return result;
}

}  // namespace

/** recvmsg(2) without waiting: the descriptors of one message, or null when there is none */
Napi::Value receiveFds(const Napi::CallbackInfo& info) {
  Received got;
  if (!receive(info.Env(), intArg(info, 0), got)) return info.Env().Null();
  return listOf(info.Env(), got);
}

/** setsockopt(2), SO_PASSCRED: from here on a message tells the pid of its sender, as this process sees it (unix(7)) */
Napi::Value passPid(const Napi::CallbackInfo& info) {
  const int on = 1;
  check(::setsockopt(intArg(info, 0), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), "setsockopt");
  return info.Env().Undefined();
}

/** sendProgram(socket: number, bytes: Uint8Array, fds: Int32Array, ours: Int32Array): boolean; see src/native.ts */
Napi::Value sendProgram(const Napi::CallbackInfo& info) {
  const auto bytes = info[1].As<Napi::Uint8Array>();
  const auto given = info[2].As<Napi::Int32Array>();
  auto ours = info[3].As<Napi::Int32Array>();
  return Napi::Boolean::New(info.Env(), sendWithPipes(info.Env(), info[0].As<Napi::Number>().Int32Value(), {bytes.Data(), bytes.ByteLength()},
                                                      {given.Data(), given.ElementLength()}, {ours.Data(), ours.ElementLength()}));
}

/** As receiveFds, with the pid of the sender, of a socket that passes it: {fds, pid} */
Napi::Value receiveFdsFrom(const Napi::CallbackInfo& info) {
  Received got;
  if (!receive(info.Env(), intArg(info, 0), got)) return info.Env().Null();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("fds", listOf(info.Env(), got));
  result.Set("pid", Napi::Number::New(info.Env(), got.pid));
  return result;
}

}  // namespace ctr
