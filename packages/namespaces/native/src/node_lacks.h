// Calls that Node lacks: the size of a window, whether there is something to read, the version of Landlock.
#pragma once
#include <napi.h>

namespace ctr {

Napi::Value setWindowSize(const Napi::CallbackInfo& info);
Napi::Value landlockAbi(const Napi::CallbackInfo& info);
Napi::Value readable(const Napi::CallbackInfo& info);

}  // namespace ctr
