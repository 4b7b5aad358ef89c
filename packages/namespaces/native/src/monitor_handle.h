// The JS class MonitorHandle: Node's end of the monitor process.
#pragma once
#include <napi.h>
#include <uv.h>

#include <memory>

#include "monitor_spawn.h"

namespace ctr {

/**
 * new MonitorHandle(program: Buffer, onMessage: (message: Buffer | null, fd: number) => void, onWritable: () => void)
 * Messages are handed over as bytes; their meaning is TypeScript's. null means that the monitor is gone.
 */
class MonitorHandle : public Napi::ObjectWrap<MonitorHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit MonitorHandle(const Napi::CallbackInfo& info);
  ~MonitorHandle() override;

 private:
  /** The libuv handles; they outlive this object until libuv has closed them. */
  struct Polls;

  Napi::Value pid(const Napi::CallbackInfo& info);
  Napi::Value send(const Napi::CallbackInfo& info);
  Napi::Value closeLifeline(const Napi::CallbackInfo& info);
  Napi::Value setRef(const Napi::CallbackInfo& info);

  void pollControl(int events);
  void readMessages();
  bool readMessage();
  void onControl(int events);
  void onExit();
  void closePolls();
  void call(const Napi::FunctionReference& function, std::initializer_list<napi_value> args);

  Napi::FunctionReference on_message_, on_writable_;
  std::unique_ptr<Napi::AsyncContext> context_;
  SpawnedMonitor monitor_;
  Polls* polls_ = nullptr;
  bool want_writable_ = false;
};

}  // namespace ctr
