// Exports of the addon that concern namespaces and descriptors from elsewhere.
#pragma once
#include <napi.h>

namespace ctr {

Napi::Value namespaceOwner(const Napi::CallbackInfo& info);
Napi::Value namespaceParent(const Napi::CallbackInfo& info);
Napi::Value namespaceType(const Napi::CallbackInfo& info);
Napi::Value namespaceOwnerUid(const Napi::CallbackInfo& info);
Napi::Value socketPair(const Napi::CallbackInfo& info);
Napi::Value receiveFds(const Napi::CallbackInfo& info);
Napi::Value sendProgram(const Napi::CallbackInfo& info);
Napi::Value passPid(const Napi::CallbackInfo& info);
Napi::Value receiveFdsFrom(const Napi::CallbackInfo& info);

}  // namespace ctr
