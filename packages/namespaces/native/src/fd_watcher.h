// The JS class FdWatcher: tells when a descriptor may be read or written without waiting. Reading and writing are
// TypeScript's affair; libuv's own streams lose the last output of a terminal and block on its input.
#pragma once
#include <napi.h>
#include <uv.h>

#include <memory>

namespace ctr {

/** new FdWatcher(fd: number, onReady: (readable: boolean, writable: boolean) => void); the descriptor stays the caller's. */
class FdWatcher : public Napi::ObjectWrap<FdWatcher> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit FdWatcher(const Napi::CallbackInfo& info);
  ~FdWatcher() override;

 private:
  /** libuv's handle; outlives this object until libuv has closed it. */
  struct Handle;

  Napi::Value watch(const Napi::CallbackInfo& info);
  Napi::Value setRef(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  void onReady(int status, int events);
  void letGo();

  Napi::FunctionReference on_ready_;
  std::unique_ptr<Napi::AsyncContext> context_;
  Handle* handle_ = nullptr;  // null once closed
};

}  // namespace ctr
