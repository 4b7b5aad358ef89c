// What Node lacks for terminals: a pair of sockets over which a descriptor comes, and the size of a window.
#pragma once
#include <napi.h>

namespace ctr {

Napi::Value socketPair(const Napi::CallbackInfo& info);
Napi::Value receiveFds(const Napi::CallbackInfo& info);
Napi::Value setWindowSize(const Napi::CallbackInfo& info);
Napi::Value readable(const Napi::CallbackInfo& info);

}  // namespace ctr
