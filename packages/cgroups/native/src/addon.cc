// The one thing that cgroups need and Node lacks: an eventfd in the event loop, for v1's out-of-memory notices.
#include <napi.h>
#include <sys/eventfd.h>
#include <uv.h>

#include <cstdint>
#include <memory>

#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {
namespace {

/**
 * An eventfd watched by uv_poll: no thread. It frees itself once libuv has let go of the handle; until then the
 * environment (a worker thread that ends, say) waits by the asynchronous clean-up hook.
 */
class EventFd {
 public:
  EventFd(Napi::Env env, Napi::Function on_signal)
      : env_(env),
        fd_(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
        on_signal_(Napi::Persistent(on_signal)),
        context_(env, "ctr:eventfd") {}

  int fd() const { return fd_.get(); }

  /** From here on the object belongs to libuv; `close` ends it. */
  void start() {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env_, &loop) != napi_ok) throw SyscallFailure{ENOTSUP, "uv_poll_init", {}};
    if (const int r = uv_poll_init(loop, &poll_, fd_.get()); r < 0) throw SyscallFailure{-r, "uv_poll_init", {}};
    poll_.data = this;
    initialized_ = true;
    napi_add_async_cleanup_hook(env_, [](napi_async_cleanup_hook_handle, void* self) { static_cast<EventFd*>(self)->close(); }, this, &hook_);
    if (const int r = uv_poll_start(&poll_, UV_READABLE, &EventFd::onReadable); r < 0) throw SyscallFailure{-r, "uv_poll_start", {}};
  }

  void close() {
    if (closing_) return;
    closing_ = true;
    on_signal_.Reset();
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) { delete static_cast<EventFd*>(handle->data); });
  }

  bool initialized() const { return initialized_; }

  ~EventFd() {
    if (hook_ != nullptr) napi_remove_async_cleanup_hook(hook_);
  }

  EventFd(const EventFd&) = delete;
  EventFd& operator=(const EventFd&) = delete;

 private:
  static void onReadable(uv_poll_t* poll, int status, int) {
    auto* self = static_cast<EventFd*>(poll->data);
    std::uint64_t count = 0;
    if (status < 0 || self->closing_ || retry([&] { return ::read(self->fd_.get(), &count, sizeof count); }) < 0) return;
    self->signal();
  }

  /** The callback is ours and throws nothing: what makes it fail is the end of its thread, which is nobody's error. */
  void signal() {
    const Napi::HandleScope scope(env_);
    napi_value global = nullptr;
    napi_value ignored = nullptr;
    if (napi_get_global(env_, &global) == napi_ok && napi_make_callback(env_, context_, global, on_signal_.Value(), 0, nullptr, &ignored) != napi_ok)
      napi_get_and_clear_last_exception(env_, &ignored);
  }

  Napi::Env env_;
  UniqueFd fd_;
  Napi::FunctionReference on_signal_;
  Napi::AsyncContext context_;
  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool initialized_ = false;
  bool closing_ = false;
};

/** eventfd(onSignal) -> { fd, close() } */
Napi::Value eventFd(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto owned = std::make_unique<EventFd>(env, info[0].As<Napi::Function>());
  try {
    owned->start();
  } catch (...) {
    if (owned->initialized()) owned.release()->close();
    throw;
  }
  EventFd* const event = owned.release();
  Napi::Object result = Napi::Object::New(env);
  result.Set("fd", Napi::Number::New(env, event->fd()));
  // The flag outlives the object, so that a second close, or one after the clean-up hook, touches nothing.
  auto open = std::make_shared<bool>(true);
  result.Set("close", Napi::Function::New(env, [event, open](const Napi::CallbackInfo&) {
               if (std::exchange(*open, false)) event->close();
             }));
  return result;
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("eventfd", Napi::Function::New(env, guarded(eventFd)));
  return exports;
}

}  // namespace
}  // namespace ctr

Napi::Object initAddon(Napi::Env env, Napi::Object exports) { return ctr::init(env, exports); }
NODE_API_MODULE(NODE_GYP_MODULE_NAME, initAddon)
