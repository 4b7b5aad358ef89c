// The JS class FdWatch: tells once that a descriptor is readable, such as a pidfd whose process has ended.
#pragma once
#include <napi.h>
#include <uv.h>

#include <memory>

#include "unique_fd.h"

namespace ctr {

/** new FdWatch(fd: number, onReadable: () => void). The descriptor is copied; it keeps the event loop going until then. */
class FdWatch : public Napi::ObjectWrap<FdWatch> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit FdWatch(const Napi::CallbackInfo& info);
  ~FdWatch() override;

 private:
  /** Belongs to libuv until it has closed the handle, so it lives here and not in the JS object. */
  struct Poll {
    uv_poll_t handle;
    UniqueFd fd;
    FdWatch* owner = nullptr;
    bool closing = false;
    napi_async_cleanup_hook_handle hook = nullptr;
    void close();
  };

  Napi::Value setRef(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void onReadable();

  Napi::FunctionReference on_readable_;
  std::unique_ptr<Napi::AsyncContext> context_;
  Poll* poll_ = nullptr;  // null once it has told, or was closed
};

}  // namespace ctr
