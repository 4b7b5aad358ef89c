// The system calls that mount steps consist of, each under its own name: `exports.fsopen(...)` and so on.
#pragma once
#include <napi.h>

namespace ctr {

/** Adds one asynchronous function for each call; arguments as in a Step, the result is the call's. */
void exportStepCalls(Napi::Env env, Napi::Object exports);

}  // namespace ctr
