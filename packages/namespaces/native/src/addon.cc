// The exports: the monitor's handle and the few descriptor calls that Node lacks. No defaults, no sentences.
#include <fcntl.h>
#include <napi.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "fd_watcher.h"
#include "monitor_handle.h"
#include "namespace_calls.h"
#include "node_lacks.h"
#include "open_fds.h"
#include "seccomp_notify.h"
#include "syscall_failure.h"

namespace ctr {
namespace {

int intArg(const Napi::CallbackInfo& info, std::size_t i) { return info[i].As<Napi::Number>().Int32Value(); }

Napi::Value number(const Napi::CallbackInfo& info, long value) { return Napi::Number::New(info.Env(), static_cast<double>(value)); }

/** A descriptor that JavaScript closes with close() or gives away with release(). */
Napi::Value owned(const Napi::CallbackInfo& info, long fd) { return number(info, OpenFds::of(info.Env()).add(static_cast<int>(fd))); }

/** pidfd_open(2) */
Napi::Value pidfdOpen(const Napi::CallbackInfo& info) { return owned(info, check(::syscall(SYS_pidfd_open, intArg(info, 0), 0), "pidfd_open")); }

/** pidfd_send_signal(2) */
Napi::Value pidfdSendSignal(const Napi::CallbackInfo& info) {
  return number(info, check(::syscall(SYS_pidfd_send_signal, intArg(info, 0), intArg(info, 1), nullptr, 0), "pidfd_send_signal"));
}

/** poll(2) of a pidfd without waiting: whether the process has ended */
Napi::Value pidfdEnded(const Napi::CallbackInfo& info) {
  pollfd p = {intArg(info, 0), POLLIN, 0};
  return Napi::Boolean::New(info.Env(), check(retry([&] { return ::poll(&p, 1, 0); }), "poll") == 1);
}

/** flock(2) */
Napi::Value flock(const Napi::CallbackInfo& info) {
  return number(info, check(retry([&] { return ::flock(intArg(info, 0), intArg(info, 1)); }), "flock"));
}

/** pipe2(2) with O_CLOEXEC: [read end, write end] */
Napi::Value pipe(const Napi::CallbackInfo& info) {
  int fds[2];
  check(::pipe2(fds, O_CLOEXEC), "pipe2");
  // Both are known before anything that fails in a thread that is being terminated.
  const Napi::Value read = owned(info, fds[0]);
  const Napi::Value write = owned(info, fds[1]);
  Napi::Array result = Napi::Array::New(info.Env(), 2);
  result.Set(0u, read);
  result.Set(1u, write);
  return result;
}

/** fcntl(2), F_DUPFD_CLOEXEC */
Napi::Value dup(const Napi::CallbackInfo& info) { return owned(info, check(::fcntl(intArg(info, 0), F_DUPFD_CLOEXEC, 3), "fcntl")); }

/** close(2) of a descriptor that this addon made; node:fs would complain of it in a worker thread */
Napi::Value close(const Napi::CallbackInfo& info) { return number(info, check(::close(OpenFds::of(info.Env()).release(intArg(info, 0))), "close")); }

/** Gives a descriptor away to whoever closes it by other means. */
Napi::Value release(const Napi::CallbackInfo& info) { return number(info, OpenFds::of(info.Env()).release(intArg(info, 0))); }

/** memfd_create(2) with these bytes in it: a message that is too large for a datagram */
Napi::Value memfd(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  UniqueFd fd{static_cast<int>(check(::syscall(SYS_memfd_create, "ctr-plan", MFD_CLOEXEC), "memfd_create"))};
  const auto* at = bytes.Data();
  for (std::size_t left = bytes.ByteLength(); left > 0;) {
    const auto n = check(retry([&] { return ::write(fd.get(), at, left); }), "write");
    at += n;
    left -= static_cast<std::size_t>(n);
  }
  return owned(info, fd.release());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new OpenFds);
  exports.Set("MonitorHandle", MonitorHandle::define(env));
  exports.Set("FdWatcher", FdWatcher::define(env));
  exports.Set("FdWatcher", FdWatcher::define(env));
  const auto add = [&](const char* name, auto body) { exports.Set(name, Napi::Function::New(env, guarded(body), name)); };
  add("pidfdOpen", pidfdOpen);
  add("pidfdSendSignal", pidfdSendSignal);
  add("pidfdEnded", pidfdEnded);
  add("flock", flock);
  add("pipe", pipe);
  add("dup", dup);
  add("close", close);
  add("release", release);
  add("memfd", memfd);
  add("setWindowSize", setWindowSize);
  add("readable", readable);
  add("landlockAbi", landlockAbi);
  add("namespaceOwner", namespaceOwner);
  add("namespaceParent", namespaceParent);
  add("namespaceType", namespaceType);
  add("namespaceOwnerUid", namespaceOwnerUid);
  add("socketPair", socketPair);
  add("receiveFds", receiveFds);
  add("sendProgram", sendProgram);
  add("passPid", passPid);
  add("receiveFdsFrom", receiveFdsFrom);
  add("seccompReceive", seccompReceive);
  add("seccompAnswer", seccompAnswer);
  add("seccompAddFd", seccompAddFd);
  add("seccompIsPending", seccompIsPending);
  return exports;
}

}  // namespace
}  // namespace ctr

static Napi::Object initModule(Napi::Env env, Napi::Object exports) { return ctr::init(env, exports); }
NODE_API_MODULE(ctr_namespaces, initModule)
