// Messages between JavaScript and the monitor. Calls of Node-API that run JavaScript may fail in an environment that is
// ending; they are made by the C functions here, since a C++ exception in a callback of libuv would end the process.
#include "monitor_handle.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <utility>

#include "monitor_link.h"
#include "open_fds.h"
#include "syscall_failure.h"

namespace ctr {
namespace {

constexpr std::size_t kMaxFds = 64;
constexpr std::size_t kStreams = 3;
constexpr std::size_t kMaxMessage = 64 * 1024;
/** Messages in one turn of the event loop: many exits at once must not hold it. */
constexpr int kMessagesPerTurn = 32;

}  // namespace

Napi::Function MonitorHandle::define(Napi::Env env) {
  return DefineClass(env, "MonitorHandle",
                     {InstanceMethod<&MonitorHandle::pid>("pid"), InstanceMethod<&MonitorHandle::send>("send"),
                      InstanceMethod<&MonitorHandle::launch>("launch"),
                      InstanceMethod<&MonitorHandle::order>("order"),
                      InstanceMethod<&MonitorHandle::closeLifeline>("closeLifeline"),
                      InstanceMethod<&MonitorHandle::setRef>("setRef")});
}

MonitorHandle::MonitorHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  const auto program = info[0].As<Napi::Uint8Array>();
  on_message_ = Napi::Persistent(info[1].As<Napi::Function>());
  on_writable_ = Napi::Persistent(info[2].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "ctr.Monitor");
  try {
    SpawnedMonitor monitor = spawnMonitor(program.Data(), program.ByteLength());
    pid_ = monitor.pid;
    link_ = Link::open(env, std::move(monitor), this);
  } catch (const SyscallFailure& f) {
    throw toError(env, f);
  }
}

MonitorHandle::~MonitorHandle() {
  if (link_ != nullptr) link_->letGo();
}

void MonitorHandle::call(const Napi::FunctionReference& function, std::initializer_list<napi_value> args) {
  // As the event loop calls: an exception in the callback becomes an uncaughtException, microtasks run after it.
  const napi_env env = Env();
  napi_value result;
  if (napi_make_callback(env, *context_, Env().Global(), function.Value(), args.size(), args.begin(), &result) == napi_ok) return;
  bool thrown = false;
  napi_value exception;
  // Nothing is thrown when the environment is ending and JavaScript did not run.
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown && napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

void MonitorHandle::onControl(int events) {
  // At its end of file onExit follows, which says so.
  if (events & UV_READABLE) {
    for (int i = 0; i < kMessagesPerTurn && link_ != nullptr; i++)
      if (!readMessage()) break;
  }
  if (link_ == nullptr || !(events & UV_WRITABLE) || !link_->want_writable) return;
  link_->pollControl(false);
  const Napi::HandleScope scope{Env()};
  call(on_writable_, {});
}

/** All that it still said, then the end. A child of it may hold the socket for a moment, so its end of file is no sign. */
void MonitorHandle::onExit() {
  while (link_ != nullptr && readMessage()) {
  }
  const Napi::HandleScope scope{Env()};
  call(on_message_, {Env().Null(), Napi::Number::New(Env(), -1)});
}

bool MonitorHandle::readMessage() {
  alignas(8) char bytes[kMaxMessage];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec iov = {bytes, sizeof bytes};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const auto n = retry([&] { return ::recvmsg(link_->monitor.control.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) uv_poll_stop(&link_->control);
    return false;
  }
  // Without one when this process has no number left for it (unix(7), MSG_CTRUNC).
  UniqueFd fd;
  if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr && c->cmsg_type == SCM_RIGHTS) {
    int received;
    std::memcpy(&received, CMSG_DATA(c), sizeof received);
    fd.reset(received);
  }
  const Napi::Env env = Env();
  const Napi::HandleScope scope{env};
  napi_value buffer;
  if (napi_create_buffer_copy(env, static_cast<std::size_t>(n), bytes, nullptr, &buffer) != napi_ok) return true;
  const int number = fd.valid() ? OpenFds::of(env).add(fd.release()) : -1;
  call(on_message_, {buffer, Napi::Number::New(env, number)});
  return true;
}

Napi::Value MonitorHandle::pid(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), pid_); }

/** send(bytes: Uint8Array, fds: Int32Array): boolean; false: the socket is full, wait for onWritable. */
Napi::Value MonitorHandle::send(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto fds = info[1].As<Napi::Int32Array>();
  if (trySend(info.Env(), bytes, {fds.Data(), fds.ElementLength()})) return Napi::Boolean::New(info.Env(), true);
  link_->pollControl(true);
  return Napi::Boolean::New(info.Env(), false);
}

/** False when the socket is full. */
bool MonitorHandle::trySend(Napi::Env env, const Napi::Uint8Array& bytes, std::span<const std::int32_t> fds) {
  if (link_ == nullptr) throw toError(env, {EPIPE, "sendmsg", {}});
  if (fds.size() > kMaxFds) throw toError(env, {E2BIG, "sendmsg", {}});
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  iovec iov = {const_cast<std::uint8_t*>(bytes.Data()), bytes.ByteLength()};
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
  if (retry([&] { return ::sendmsg(link_->monitor.control.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL); }) >= 0) return true;
  if (errno != EAGAIN) throw toError(env, {errno, "sendmsg", {}});
  return false;
}

/** launch(bytes: Uint8Array, fds: Int32Array, ours: Int32Array): boolean; see src/native.ts. One call for what costs a call each otherwise. */
Napi::Value MonitorHandle::launch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto given = info[1].As<Napi::Int32Array>();
  auto results = info[2].As<Napi::Int32Array>();
  if (given.ElementLength() > kMaxFds) throw toError(env, {E2BIG, "sendmsg", {}});
  std::array<std::int32_t, kMaxFds> fds;
  std::array<UniqueFd, kStreams> ours, theirs;
  for (std::size_t i = 0; i < given.ElementLength(); i++) {
    fds[i] = given[i];
    if (fds[i] >= 0) continue;
    const auto n = static_cast<std::size_t>(-1 - fds[i]);
    if (n >= kStreams || ours[n].valid()) throw toError(env, {EBADF, "sendmsg", {}});
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw toError(env, {errno, "pipe2", {}});
    ours[n].reset(ends[n == 0 ? 1 : 0]);
    theirs[n].reset(ends[n == 0 ? 0 : 1]);
    fds[i] = theirs[n].get();
  }
  if (!trySend(env, info[0].As<Napi::Uint8Array>(), {fds.data(), given.ElementLength()})) return Napi::Boolean::New(env, false);
  for (std::size_t n = 0; n < kStreams && n < results.ElementLength(); n++)
    if (ours[n].valid()) results[n] = OpenFds::of(env).add(ours[n].release());
  return Napi::Boolean::New(env, true);
}

/** order(kind: number, id: number): boolean; struct Order of native/init/plan.h. False: the pipe is full, try again later. */
Napi::Value MonitorHandle::order(const Napi::CallbackInfo& info) {
  const std::uint32_t order[2] = {info[0].As<Napi::Number>().Uint32Value(), info[1].As<Napi::Number>().Uint32Value()};
  if (link_ == nullptr || !link_->monitor.lifeline.valid()) return Napi::Boolean::New(info.Env(), true);
  const auto n = retry([&] { return ::write(link_->monitor.lifeline.get(), order, sizeof order); });
  // EPIPE: the monitor is gone, and with it what the order was for; Node ignores SIGPIPE.
  return Napi::Boolean::New(info.Env(), n >= 0 || errno != EAGAIN);
}

/** Tells the monitor to kill everything, clean up and end; its messages still come. */
Napi::Value MonitorHandle::closeLifeline(const Napi::CallbackInfo& info) {
  if (link_ != nullptr) link_->monitor.lifeline.reset();
  return info.Env().Undefined();
}

/** The poll for the monitor's death is active as long as it lives: it is what keeps the event loop going. */
Napi::Value MonitorHandle::setRef(const Napi::CallbackInfo& info) {
  if (link_ == nullptr) return info.Env().Undefined();
  auto* handle = reinterpret_cast<uv_handle_t*>(&link_->exit);
  if (info[0].As<Napi::Boolean>())
    uv_ref(handle);
  else
    uv_unref(handle);
  return info.Env().Undefined();
}

}  // namespace ctr
