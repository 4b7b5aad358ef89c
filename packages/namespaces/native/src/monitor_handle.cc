// Messages between JavaScript and the monitor. Calls of Node-API that run JavaScript may fail in an environment that is
// ending; they are made by the C functions here, since a C++ exception in a callback of libuv would end the process.
#include "monitor_handle.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "monitor_link.h"
#include "open_fds.h"
#include "send_fds.h"
#include "syscall_failure.h"

namespace ctr {
namespace {

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

int MonitorHandle::control(Napi::Env env) const {
  if (link_ == nullptr) throw toError(env, {EPIPE, "sendmsg", {}});
  return link_->monitor.control.get();
}

/** send(bytes: Uint8Array, fds: Int32Array): boolean; false: the socket is full, wait for onWritable. */
Napi::Value MonitorHandle::send(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto fds = info[1].As<Napi::Int32Array>();
  const auto env = info.Env();
  if (sendFds(env, control(env), {bytes.Data(), bytes.ByteLength()}, {fds.Data(), fds.ElementLength()})) return Napi::Boolean::New(info.Env(), true);
  link_->pollControl(true);
  return Napi::Boolean::New(info.Env(), false);
}

/** launch(bytes: Uint8Array, fds: Int32Array, ours: Int32Array): boolean; see src/native.ts. One call for what costs a call each otherwise. */
Napi::Value MonitorHandle::launch(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto given = info[1].As<Napi::Int32Array>();
  auto ours = info[2].As<Napi::Int32Array>();
  return Napi::Boolean::New(info.Env(), sendWithPipes(info.Env(), control(info.Env()), {bytes.Data(), bytes.ByteLength()},
                                                      {given.Data(), given.ElementLength()}, {ours.Data(), ours.ElementLength()}));
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
