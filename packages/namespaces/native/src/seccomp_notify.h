// The ioctls of a seccomp listener, seccomp_unotify(2).
#pragma once
#include <napi.h>

namespace ctr {

Napi::Value seccompReceive(const Napi::CallbackInfo& info);
Napi::Value seccompAnswer(const Napi::CallbackInfo& info);
Napi::Value seccompAddFd(const Napi::CallbackInfo& info);
Napi::Value seccompIsPending(const Napi::CallbackInfo& info);

}  // namespace ctr
