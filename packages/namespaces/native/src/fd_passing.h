// Descriptors that a process of ours sends over a socket, which Node's own sockets cannot take.
#pragma once
#include <napi.h>

namespace ctr {

Napi::Value socketPair(const Napi::CallbackInfo& info);
Napi::Value receiveFds(const Napi::CallbackInfo& info);

}  // namespace ctr
