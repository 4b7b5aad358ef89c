// Exports the compressor of layers.
#pragma once
#include <napi.h>

namespace ctr {

void exportGzipHandle(Napi::Env env, Napi::Object exports);

}  // namespace ctr
