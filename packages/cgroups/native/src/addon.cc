// What cgroups need and Node lacks: an eventfd and a pressure file in the event loop, and bpf(2).
#include <fcntl.h>
#include <napi.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <string>

#include "device_program.h"
#include "syscall_failure.h"
#include "unique_fd.h"
#include "watched_fd.h"

namespace ctr {
namespace {

/** eventfd(onSignal) -> { fd, close() } */
Napi::Value eventFd(const Napi::CallbackInfo& info) {
  UniqueFd fd(check(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
  return watch(info.Env(), std::move(fd), WatchedFd::Kind::kEventFd, info[0].As<Napi::Function>());
}

/** pressure(file, trigger, onSignal) -> { fd, close() }; see "Userspace monitor usage" in accounting/psi.rst */
Napi::Value pressure(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const std::string trigger = info[1].As<Napi::String>().Utf8Value();
  UniqueFd fd(check(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC), "open", path));
  check(retry([&] { return ::write(fd.get(), trigger.c_str(), trigger.size() + 1); }), "write", path);
  return watch(info.Env(), std::move(fd), WatchedFd::Kind::kPressure, info[2].As<Napi::Function>());
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("eventfd", Napi::Function::New(env, guarded(eventFd)));
  exports.Set("pressure", Napi::Function::New(env, guarded(pressure)));
  exports.Set("loadDevices", Napi::Function::New(env, guarded(loadDevices)));
  exports.Set("attachDevices", Napi::Function::New(env, guarded(attachDevices)));
  return exports;
}

}  // namespace
}  // namespace ctr

Napi::Object initAddon(Napi::Env env, Napi::Object exports) { return ctr::init(env, exports); }
NODE_API_MODULE(NODE_GYP_MODULE_NAME, initAddon)
