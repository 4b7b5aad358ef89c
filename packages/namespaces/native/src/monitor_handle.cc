// One uv_poll on the control socket and one on the monitor's pidfd: nothing in here blocks or starts a thread.
#include "monitor_handle.h"

#include <sys/socket.h>
#include <sys/wait.h>

#include <cstring>
#include <vector>

#include "syscall_failure.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

namespace ctr {
namespace {

constexpr std::size_t kMaxFds = 64;
constexpr std::size_t kMaxMessage = 64 * 1024;

}  // namespace

struct MonitorHandle::Polls {
  uv_poll_t control, exit;
  MonitorHandle* owner;  // null once the object is gone
  int open = 2;
  napi_async_cleanup_hook_handle hook = nullptr;

  static void closed(uv_handle_t* handle) {
    auto* polls = static_cast<Polls*>(handle->data);
    if (--polls->open > 0) return;
    if (polls->hook != nullptr) napi_remove_async_cleanup_hook(polls->hook);
    delete polls;
  }
};

Napi::Function MonitorHandle::define(Napi::Env env) {
  return DefineClass(env, "MonitorHandle",
                     {InstanceMethod<&MonitorHandle::pid>("pid"), InstanceMethod<&MonitorHandle::send>("send"),
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
    monitor_ = spawnMonitor(program.Data(), program.ByteLength());
  } catch (const SyscallFailure& f) {
    throw toError(env, f);
  }
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  polls_ = new Polls{};
  polls_->owner = this;
  uv_poll_init(loop, &polls_->control, monitor_.control.get());
  uv_poll_init(loop, &polls_->exit, monitor_.pidfd.get());
  polls_->control.data = polls_->exit.data = polls_;
  pollControl(UV_READABLE);
  uv_poll_start(&polls_->exit, UV_READABLE, [](uv_poll_t* p, int, int) {
    if (auto* owner = static_cast<Polls*>(p->data)->owner) owner->onExit();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(&polls_->control));
  uv_unref(reinterpret_cast<uv_handle_t*>(&polls_->exit));
  // A worker thread that ends closes its lifeline: its containers die with it.
  napi_add_async_cleanup_hook(
      env,
      [](napi_async_cleanup_hook_handle, void* data) {
        auto* polls = static_cast<Polls*>(data);
        if (polls->owner != nullptr) polls->owner->closePolls();
      },
      polls_, &polls_->hook);
}

MonitorHandle::~MonitorHandle() { closePolls(); }

void MonitorHandle::closePolls() {
  if (polls_ == nullptr) return;
  Polls* polls = std::exchange(polls_, nullptr);
  polls->owner = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&polls->control), Polls::closed);
  uv_close(reinterpret_cast<uv_handle_t*>(&polls->exit), Polls::closed);
  monitor_.lifeline.reset();
  monitor_.control.reset();
  monitor_.pidfd.reset();
}

void MonitorHandle::call(const Napi::FunctionReference& function, std::initializer_list<napi_value> args) {
  // As the event loop calls: an exception in the callback becomes an uncaughtException, microtasks run after it.
  try {
    function.MakeCallback(Env().Global(), args, *context_);
  } catch (const Napi::Error& e) {
    napi_fatal_exception(Env(), e.Value());
  }
}

void MonitorHandle::pollControl(int events) {
  uv_poll_start(&polls_->control, events, [](uv_poll_t* p, int status, int ev) {
    auto* owner = static_cast<Polls*>(p->data)->owner;
    if (owner != nullptr) owner->onControl(status < 0 ? UV_READABLE : ev);
  });
}

void MonitorHandle::onControl(int events) {
  if (events & UV_READABLE) readMessages();
  if (polls_ == nullptr || !(events & UV_WRITABLE) || !want_writable_) return;
  want_writable_ = false;
  pollControl(UV_READABLE);
  const Napi::HandleScope scope{Env()};
  call(on_writable_, {});
}

/** A bounded number per turn: many exits at once must not hold the event loop. */
void MonitorHandle::readMessages() {
  for (int i = 0; i < 32 && polls_ != nullptr; i++)
    if (!readMessage()) return;
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
  const auto n = retry([&] { return ::recvmsg(monitor_.control.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC); });
  if (n < 0 && errno == EAGAIN) return false;
  const Napi::Env env = Env();
  const Napi::HandleScope scope{env};
  if (n <= 0) {
    uv_poll_stop(&polls_->control);
    call(on_message_, {env.Null(), Napi::Number::New(env, -1)});
    return false;
  }
  int fd = -1;
  if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr && c->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
  call(on_message_, {Napi::Buffer<char>::Copy(env, bytes, static_cast<std::size_t>(n)), Napi::Number::New(env, fd)});
  return true;
}

void MonitorHandle::onExit() {
  siginfo_t info = {};
  retry([&] { return ::waitid(static_cast<idtype_t>(P_PIDFD), static_cast<id_t>(monitor_.pidfd.get()), &info, WEXITED | WNOHANG); });
  readMessages();
  closePolls();
}

Napi::Value MonitorHandle::pid(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), monitor_.pid); }

/** send(bytes: Uint8Array, fds: Int32Array): boolean; false: the socket is full, wait for onWritable. */
Napi::Value MonitorHandle::send(const Napi::CallbackInfo& info) {
  const auto bytes = info[0].As<Napi::Uint8Array>();
  const auto fds = info[1].As<Napi::Int32Array>();
  if (polls_ == nullptr) throw toError(info.Env(), {EPIPE, "sendmsg", {}});
  if (fds.ElementLength() > kMaxFds) throw toError(info.Env(), {E2BIG, "sendmsg", {}});
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxFds * sizeof(int))] = {};
  iovec iov = {const_cast<std::uint8_t*>(bytes.Data()), bytes.ByteLength()};
  msghdr message = {};
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (const std::size_t size = fds.ElementLength() * sizeof(int); size > 0) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* c = CMSG_FIRSTHDR(&message);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(c), fds.Data(), size);
  }
  if (retry([&] { return ::sendmsg(monitor_.control.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL); }) >= 0)
    return Napi::Boolean::New(info.Env(), true);
  if (errno != EAGAIN) throw toError(info.Env(), {errno, "sendmsg", {}});
  want_writable_ = true;
  pollControl(UV_READABLE | UV_WRITABLE);
  return Napi::Boolean::New(info.Env(), false);
}

/** Tells the monitor to kill everything, clean up and end. */
Napi::Value MonitorHandle::closeLifeline(const Napi::CallbackInfo& info) {
  monitor_.lifeline.reset();
  return info.Env().Undefined();
}

Napi::Value MonitorHandle::setRef(const Napi::CallbackInfo& info) {
  if (polls_ == nullptr) return info.Env().Undefined();
  const bool ref = info[0].As<Napi::Boolean>();
  auto* handle = reinterpret_cast<uv_handle_t*>(&polls_->control);
  if (ref)
    uv_ref(handle);
  else
    uv_unref(handle);
  return info.Env().Undefined();
}

}  // namespace ctr
