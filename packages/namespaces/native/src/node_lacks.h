// Calls that Node lacks: a pair of sockets over which descriptors come, the size of a window, the version of Landlock.
#pragma once
#include <napi.h>

namespace ctr {

Napi::Value socketPair(const Napi::CallbackInfo& info);
Napi::Value receiveFds(const Napi::CallbackInfo& info);
Napi::Value setWindowSize(const Napi::CallbackInfo& info);
Napi::Value landlockAbi(const Napi::CallbackInfo& info);
Napi::Value readable(const Napi::CallbackInfo& info);

}  // namespace ctr
