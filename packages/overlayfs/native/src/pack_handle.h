// The object behind packDirectory of TypeScript.
#pragma once
#include <napi.h>

namespace ctr {

/** Adds PackHandle. */
void exportPackHandle(Napi::Env env, Napi::Object exports);

}  // namespace ctr
