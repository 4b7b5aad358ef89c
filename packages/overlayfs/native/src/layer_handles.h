// The objects behind the layer writers of TypeScript.
#pragma once
#include <napi.h>

namespace ctr {

/** Adds LayerHandle, PipelineHandle and decompressors(). */
void exportLayerHandles(Napi::Env env, Napi::Object exports);

}  // namespace ctr
