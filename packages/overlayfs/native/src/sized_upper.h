// Exports what limits the size of an upper on a disk.
#pragma once
#include <napi.h>

namespace ctr {

void exportSizedUpper(Napi::Env env, Napi::Object exports);

}  // namespace ctr
