// A uv_poll for TypeScript. See monitor_handle.cc for why JavaScript is called by the C functions of Node-API.
#include "fd_watcher.h"

#include "syscall_failure.h"

namespace ctr {

struct FdWatcher::Handle {
  uv_poll_t poll;
  FdWatcher* owner;
  napi_async_cleanup_hook_handle hook = nullptr;

  uv_handle_t* base() { return reinterpret_cast<uv_handle_t*>(&poll); }

  /** Also when a worker thread ends: libuv must have let go before its loop does. */
  void close() {
    if (owner != nullptr) owner->handle_ = nullptr;
    owner = nullptr;
    if (uv_is_closing(base())) return;
    uv_close(base(), [](uv_handle_t* h) {
      auto* self = static_cast<Handle*>(h->data);
      if (self->hook != nullptr) napi_remove_async_cleanup_hook(self->hook);
      delete self;
    });
  }
};

Napi::Function FdWatcher::define(Napi::Env env) {
  return DefineClass(env, "FdWatcher",
                     {InstanceMethod<&FdWatcher::watch>("watch"), InstanceMethod<&FdWatcher::setRef>("setRef"),
                      InstanceMethod<&FdWatcher::close>("close")});
}

FdWatcher::FdWatcher(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  on_ready_ = Napi::Persistent(info[1].As<Napi::Function>());
  context_ = std::make_unique<Napi::AsyncContext>(env, "ctr.FdWatcher");
  uv_loop_t* loop = nullptr;
  napi_get_uv_event_loop(env, &loop);
  auto* handle = new Handle{};
  if (const int r = uv_poll_init(loop, &handle->poll, info[0].As<Napi::Number>().Int32Value()); r < 0) {
    delete handle;
    throw toError(env, {-r, "epoll_ctl", {}});
  }
  handle->poll.data = handle;
  handle->owner = this;
  handle_ = handle;
  napi_add_async_cleanup_hook(env, [](napi_async_cleanup_hook_handle, void* data) { static_cast<Handle*>(data)->close(); }, handle, &handle->hook);
}

FdWatcher::~FdWatcher() { letGo(); }

void FdWatcher::letGo() {
  if (handle_ != nullptr) handle_->close();
}

/** watch(readable: boolean, writable: boolean): both false stops. */
Napi::Value FdWatcher::watch(const Napi::CallbackInfo& info) {
  if (handle_ == nullptr) return info.Env().Undefined();
  const int events = (info[0].As<Napi::Boolean>() ? UV_READABLE : 0) | (info[1].As<Napi::Boolean>() ? UV_WRITABLE : 0);
  if (events == 0) {
    uv_poll_stop(&handle_->poll);
  } else {
    uv_poll_start(&handle_->poll, events, [](uv_poll_t* p, int status, int ready) {
      auto* self = static_cast<Handle*>(p->data);
      if (self->owner != nullptr) self->owner->onReady(status, ready);
    });
  }
  return info.Env().Undefined();
}

/** An error of the descriptor shows in the next read or write. */
void FdWatcher::onReady(int status, int events) {
  const napi_env env = Env();
  const Napi::HandleScope scope{env};
  napi_value args[2] = {Napi::Boolean::New(env, status < 0 || (events & (UV_READABLE | UV_DISCONNECT)) != 0),
                        Napi::Boolean::New(env, status < 0 || (events & UV_WRITABLE) != 0)};
  napi_value result;
  if (napi_make_callback(env, *context_, Env().Global(), on_ready_.Value(), 2, args, &result) == napi_ok) return;
  bool thrown = false;
  napi_value exception;
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown && napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

/** Whether watching keeps the event loop going. */
Napi::Value FdWatcher::setRef(const Napi::CallbackInfo& info) {
  if (handle_ == nullptr) return info.Env().Undefined();
  if (info[0].As<Napi::Boolean>())
    uv_ref(handle_->base());
  else
    uv_unref(handle_->base());
  return info.Env().Undefined();
}

/** Before the descriptor is closed. */
Napi::Value FdWatcher::close(const Napi::CallbackInfo& info) {
  letGo();
  return info.Env().Undefined();
}

}  // namespace ctr
