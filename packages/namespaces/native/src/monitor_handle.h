// The JS class MonitorHandle: Node's end of the monitor process.
#pragma once
#include <napi.h>
#include <uv.h>

#include <initializer_list>
#include <memory>

#include "monitor_spawn.h"

namespace ctr {

/**
 * new MonitorHandle(program: Buffer, onMessage: (message: Buffer | null, fd: number) => void, onWritable: () => void)
 * Messages are handed over as bytes; their meaning is TypeScript's. null comes once and last: the monitor is dead, and
 * its children have got the signal that its death sends them.
 */
class MonitorHandle : public Napi::ObjectWrap<MonitorHandle> {
 public:
  static Napi::Function define(Napi::Env env);
  explicit MonitorHandle(const Napi::CallbackInfo& info);
  ~MonitorHandle() override;

 private:
  /** The descriptors and the libuv handles on them; outlives this object until the monitor is dead and libuv has closed them. */
  struct Link;

  Napi::Value pid(const Napi::CallbackInfo& info);
  Napi::Value send(const Napi::CallbackInfo& info);
  Napi::Value launch(const Napi::CallbackInfo& info);
  Napi::Value order(const Napi::CallbackInfo& info);
  Napi::Value closeLifeline(const Napi::CallbackInfo& info);
  Napi::Value setRef(const Napi::CallbackInfo& info);

  void onControl(int events);
  void onExit();
  bool readMessage();
  /** The control socket. Throws EPIPE once the monitor is gone. */
  int control(Napi::Env env) const;
  void call(const Napi::FunctionReference& function, std::initializer_list<napi_value> args);

  Napi::FunctionReference on_message_, on_writable_;
  std::unique_ptr<Napi::AsyncContext> context_;
  int pid_ = -1;
  Link* link_ = nullptr;  // null once the monitor is gone
};

}  // namespace ctr
