// Nothing here waits: a call is taken only when poll(2) says that there is one, and nobody else reads the descriptor.
#include "seccomp_notify.h"

#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "syscall_failure.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif

namespace ctr {
namespace {

int intArg(const Napi::CallbackInfo& info, std::size_t i) { return info[i].As<Napi::Number>().Int32Value(); }

std::uint64_t idArg(const Napi::CallbackInfo& info, std::size_t i) {
  bool lossless = false;
  return info[i].As<Napi::BigInt>().Uint64Value(&lossless);
}

/** The kernel writes its own struct, which a newer one may have made longer than ours. */
std::size_t noticeSize() {
  static const std::size_t size = [] {
    seccomp_notif_sizes sizes = {};
    const long r = ::syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes);
    return std::max<std::size_t>(r == 0 ? sizes.seccomp_notif : 0, sizeof(seccomp_notif));
  }();
  return size;
}

}  // namespace

/** SECCOMP_IOCTL_NOTIF_RECV: struct seccomp_notif as bytes; null: none now; undefined: no process has the filter any more. */
Napi::Value seccompReceive(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  pollfd p = {intArg(info, 0), POLLIN, 0};
  check(retry([&] { return ::poll(&p, 1, 0); }), "poll");
  if (!(p.revents & POLLIN)) return p.revents & (POLLHUP | POLLERR | POLLNVAL) ? env.Undefined() : env.Null();
  std::vector<char> notice(noticeSize());
  const int r = retry([&] {
    std::fill(notice.begin(), notice.end(), 0);
    return ::ioctl(p.fd, SECCOMP_IOCTL_NOTIF_RECV, notice.data());
  });
  // The caller was killed between poll and here.
  if (r < 0 && errno == ENOENT) return env.Null();
  check(r, "ioctl");
  return Napi::Buffer<char>::Copy(env, notice.data(), sizeof(seccomp_notif));
}

/** SECCOMP_IOCTL_NOTIF_SEND: seccompAnswer(fd, id, value, error, flags); false: the caller does not wait any more. */
Napi::Value seccompAnswer(const Napi::CallbackInfo& info) {
  bool lossless = false;
  seccomp_notif_resp answer = {};
  answer.id = idArg(info, 1);
  answer.val = info[2].As<Napi::BigInt>().Int64Value(&lossless);
  answer.error = intArg(info, 3);
  answer.flags = static_cast<std::uint32_t>(intArg(info, 4));
  const int r = retry([&] { return ::ioctl(intArg(info, 0), SECCOMP_IOCTL_NOTIF_SEND, &answer); });
  if (r < 0 && errno == ENOENT) return Napi::Boolean::New(info.Env(), false);
  check(r, "ioctl");
  return Napi::Boolean::New(info.Env(), true);
}

/** SECCOMP_IOCTL_NOTIF_ADDFD: seccompAddFd(fd, id, source, at or -1, flags of the new one, answer); -1: the caller does not wait any more. */
Napi::Value seccompAddFd(const Napi::CallbackInfo& info) {
  seccomp_notif_addfd add = {};
  add.id = idArg(info, 1);
  add.srcfd = static_cast<std::uint32_t>(intArg(info, 2));
  const int at = intArg(info, 3);
  if (at >= 0) {
    add.newfd = static_cast<std::uint32_t>(at);
    add.flags |= SECCOMP_ADDFD_FLAG_SETFD;
  }
  add.newfd_flags = static_cast<std::uint32_t>(intArg(info, 4));
  if (info[5].As<Napi::Boolean>()) add.flags |= SECCOMP_ADDFD_FLAG_SEND;
  const int r = retry([&] { return ::ioctl(intArg(info, 0), SECCOMP_IOCTL_NOTIF_ADDFD, &add); });
  if (r < 0 && errno == ENOENT) return Napi::Number::New(info.Env(), -1);
  return Napi::Number::New(info.Env(), check(r, "ioctl"));
}

/** SECCOMP_IOCTL_NOTIF_ID_VALID */
Napi::Value seccompIsPending(const Napi::CallbackInfo& info) {
  std::uint64_t id = idArg(info, 1);
  return Napi::Boolean::New(info.Env(), ::ioctl(intArg(info, 0), SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0);
}

}  // namespace ctr
