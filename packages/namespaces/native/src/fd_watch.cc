// A uv_poll on a copy of the descriptor: libuv wants each number once in a loop, and the caller may close his own.
#include "fd_watch.h"

#include <fcntl.h>

#include "syscall_failure.h"

namespace ctr {

Napi::Function FdWatch::define(Napi::Env env) {
  return DefineClass(env, "FdWatch", {InstanceMethod<&FdWatch::setRef>("setRef"), InstanceMethod<&FdWatch::close>("close")});
}

FdWatch::FdWatch(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  on_readable_ = Napi::Persistent(info[1].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "ctr.FdWatch");
  UniqueFd copy{::fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 3)};
  if (!copy.valid()) throw toError(env, {errno, "fcntl", {}});
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  auto poll = std::make_unique<Poll>();
  // Fails for what cannot be waited for, such as a plain file (epoll_ctl(2), EPERM); nothing is to be closed then.
  if (const int error = uv_poll_init(loop, &poll->handle, copy.get()); error < 0) throw toError(env, {-error, "epoll_ctl", {}});
  poll->fd = std::move(copy);
  poll->owner = this;
  poll_ = poll.release();
  poll_->handle.data = poll_;
  uv_poll_start(&poll_->handle, UV_READABLE, [](uv_poll_t* handle, int, int) {
    auto* self = static_cast<Poll*>(handle->data);
    if (self->owner != nullptr) self->owner->onReadable();
  });
  napi_add_async_cleanup_hook(env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Poll*>(data)->close(); }, poll_, &poll_->hook);
}

FdWatch::~FdWatch() {
  if (poll_ != nullptr) poll_->close();
}

void FdWatch::Poll::close() {
  if (owner != nullptr) owner->poll_ = nullptr;
  owner = nullptr;
  if (closing) return;
  closing = true;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle), [](uv_handle_t* h) {
    auto* self = static_cast<Poll*>(h->data);
    if (self->hook != nullptr) napi_remove_async_cleanup_hook(self->hook);
    delete self;
  });
}

/** By the C functions: in an environment that is ending a C++ exception here would end the process. */
void FdWatch::onReadable() {
  poll_->close();
  const napi_env env = Env();
  const Napi::HandleScope scope{env};
  napi_value result;
  if (napi_make_callback(env, *context_, Env().Global(), on_readable_.Value(), 0, nullptr, &result) == napi_ok) return;
  bool thrown = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown && napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

Napi::Value FdWatch::setRef(const Napi::CallbackInfo& info) {
  if (poll_ == nullptr) return info.Env().Undefined();
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_->handle);
  if (info[0].As<Napi::Boolean>())
    uv_ref(handle);
  else
    uv_unref(handle);
  return info.Env().Undefined();
}

Napi::Value FdWatch::close(const Napi::CallbackInfo& info) {
  if (poll_ != nullptr) poll_->close();
  return info.Env().Undefined();
}

}  // namespace ctr
