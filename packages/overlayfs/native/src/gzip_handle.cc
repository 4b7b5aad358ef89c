#include "gzip_handle.h"

#include <memory>
#include <string>
#include <vector>

#include "async_task.h"
#include "gzip_compressor.h"
#include "sha256.h"

namespace ctr {
namespace {

/** A layer on its way to its blob: hashed, compressed, hashed again. */
struct LayerGzip {
  Sha256 diff;
  Sha256 blob;
  std::unique_ptr<Compressor> gzip = gzipCompressor();
  uint64_t size = 0;

  std::string take(std::string out) {
    size += out.size();
    blob.update(reinterpret_cast<const uint8_t*>(out.data()), out.size());
    return out;
  }
};

/** TypeScript sees to it that only one call is under way. */
class GzipHandle : public Napi::ObjectWrap<GzipHandle> {
 public:
  /** new GzipHandle() */
  explicit GzipHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GzipHandle>(info), layer_(std::make_shared<std::unique_ptr<LayerGzip>>()) {}

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "GzipHandle", {InstanceMethod<&GzipHandle::write>("write"), InstanceMethod<&GzipHandle::end>("end")});
  }

 private:
  /** Made on the pool, where what it throws becomes an error. */
  static LayerGzip& layerOf(std::unique_ptr<LayerGzip>& slot) {
    if (slot == nullptr) slot = std::make_unique<LayerGzip>();
    return *slot;
  }

  static Napi::Value bufferOf(Napi::Env env, const std::string& bytes) { return Napi::Buffer<char>::Copy(env, bytes.data(), bytes.size()); }

  /** write(chunk): Buffer, what came out so far */
  Napi::Value write(const Napi::CallbackInfo& info) {
    const auto chunk = info[0].As<Napi::Uint8Array>();
    // SAFETY: copied, as in LayerHandle::write: JS may transfer the buffer away or change it meanwhile.
    auto bytes = std::make_shared<std::vector<uint8_t>>(chunk.Data(), chunk.Data() + chunk.ByteLength());
    return AsyncTask::start(info.Env(), [slot = layer_, bytes]() -> Settle {
      LayerGzip& layer = layerOf(*slot);
      layer.diff.update(bytes->data(), bytes->size());
      std::string out;
      layer.gzip->feed(bytes->data(), bytes->size(), out);
      const auto made = std::make_shared<std::string>(layer.take(std::move(out)));
      return [made](Napi::Env env) { return bufferOf(env, *made); };
    });
  }

  /** end(): { rest, diffId, digest, size } */
  Napi::Value end(const Napi::CallbackInfo& info) {
    return AsyncTask::start(info.Env(), [slot = layer_]() -> Settle {
      LayerGzip& layer = layerOf(*slot);
      std::string out;
      layer.gzip->finish(out);
      const auto rest = std::make_shared<std::string>(layer.take(std::move(out)));
      const std::string diff = layer.diff.digest();
      const std::string blob = layer.blob.digest();
      return [rest, diff, blob, size = layer.size](Napi::Env env) -> Napi::Value {
        Napi::Object o = Napi::Object::New(env);
        o.Set("rest", bufferOf(env, *rest));
        o.Set("diffId", diff);
        o.Set("digest", blob);
        o.Set("size", Napi::Number::New(env, static_cast<double>(size)));
        return o;
      };
    });
  }

  std::shared_ptr<std::unique_ptr<LayerGzip>> layer_;
};

}  // namespace

void exportGzipHandle(Napi::Env env, Napi::Object exports) { exports.Set("GzipHandle", GzipHandle::define(env)); }

}  // namespace ctr
