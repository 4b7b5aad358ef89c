// A descriptor in Node's event loop: a callback for each time it is ready. No thread.
#pragma once
#include <napi.h>
#include <uv.h>

#include <cerrno>
#include <cstdint>
#include <memory>
#include <utility>

#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {

/**
 * Watched by uv_poll. It frees itself once libuv has let go of the handle; until then the environment (a worker thread
 * that ends, say) waits by the asynchronous clean-up hook.
 */
class WatchedFd {
 public:
  /** What makes it quiet again after it was ready: an eventfd wants to be read, a pressure file does not. */
  enum class Kind { kEventFd, kPressure };

  WatchedFd(Napi::Env env, UniqueFd fd, Kind kind, Napi::Function on_signal)
      : env_(env), fd_(std::move(fd)), kind_(kind), on_signal_(Napi::Persistent(on_signal)), context_(env, "ctr:watched-fd") {}

  int fd() const { return fd_.get(); }

  /** From here on the object belongs to libuv; `close` ends it. */
  void start() {
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(env_, &loop) != napi_ok) throw SyscallFailure{ENOTSUP, "uv_poll_init", {}};
    if (const int r = uv_poll_init(loop, &poll_, fd_.get()); r < 0) throw SyscallFailure{-r, "uv_poll_init", {}};
    poll_.data = this;
    initialized_ = true;
    napi_add_async_cleanup_hook(env_, [](napi_async_cleanup_hook_handle, void* self) { static_cast<WatchedFd*>(self)->close(); }, this, &hook_);
    const int events = kind_ == Kind::kEventFd ? UV_READABLE : UV_PRIORITIZED;
    if (const int r = uv_poll_start(&poll_, events, &WatchedFd::onReady); r < 0) throw SyscallFailure{-r, "uv_poll_start", {}};
  }

  void close() {
    if (closing_) return;
    closing_ = true;
    on_signal_.Reset();
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), [](uv_handle_t* handle) { delete static_cast<WatchedFd*>(handle->data); });
  }

  bool initialized() const { return initialized_; }

  ~WatchedFd() {
    if (hook_ != nullptr) napi_remove_async_cleanup_hook(hook_);
  }

  WatchedFd(const WatchedFd&) = delete;
  WatchedFd& operator=(const WatchedFd&) = delete;

 private:
  static void onReady(uv_poll_t* poll, int status, int) {
    auto* self = static_cast<WatchedFd*>(poll->data);
    if (self->closing_) return;
    std::uint64_t count = 0;
    // A pressure file answers with an error once its cgroup is gone: that is news too, and libuv has stopped polling it then.
    if (self->kind_ == Kind::kEventFd && (status < 0 || retry([&] { return ::read(self->fd_.get(), &count, sizeof count); }) < 0)) return;
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
  Kind kind_;
  Napi::FunctionReference on_signal_;
  Napi::AsyncContext context_;
  uv_poll_t poll_ = {};
  napi_async_cleanup_hook_handle hook_ = nullptr;
  bool initialized_ = false;
  bool closing_ = false;
};

/** { fd, close() } of a descriptor that is watched from now on. */
inline Napi::Value watch(Napi::Env env, UniqueFd fd, WatchedFd::Kind kind, Napi::Function on_signal) {
  auto owned = std::make_unique<WatchedFd>(env, std::move(fd), kind, on_signal);
  try {
    owned->start();
  } catch (...) {
    if (owned->initialized()) owned.release()->close();
    throw;
  }
  WatchedFd* const watched = owned.release();
  Napi::Object result = Napi::Object::New(env);
  result.Set("fd", Napi::Number::New(env, watched->fd()));
  // The flag outlives the object, so that a second close, or one after the clean-up hook, touches nothing.
  auto open = std::make_shared<bool>(true);
  result.Set("close", Napi::Function::New(env, [watched, open](const Napi::CallbackInfo&) {
               if (std::exchange(*open, false)) watched->close();
             }));
  return result;
}

}  // namespace ctr
