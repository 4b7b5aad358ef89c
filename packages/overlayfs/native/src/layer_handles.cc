#include "layer_handles.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async_task.h"
#include "decompressor.h"
#include "erofs_layer.h"
#include "layer_extractor.h"
#include "layer_pipeline.h"
#include "sha256.h"

namespace ctr {
namespace {

Limits limitsOf(const Napi::Array& a) {
  const auto at = [&a](uint32_t i) { return static_cast<uint64_t>(a.Get(i).As<Napi::Number>().Int64Value()); };
  return Limits{at(0), at(1), at(2), at(3), at(4), at(5), at(6)};
}

Napi::Value statsObject(Napi::Env env, const LayerStats& s, bool end_marker) {
  Napi::Object o = Napi::Object::New(env);
  const auto number = [&](const char* key, uint64_t value) { o.Set(key, Napi::Number::New(env, static_cast<double>(value))); };
  number("entries", s.entries);
  number("bytes", s.bytes);
  number("ownersDropped", s.owners_dropped);
  number("xattrsDropped", s.xattrs_dropped);
  number("devicesSkipped", s.devices_skipped);
  number("implicitDirectories", s.implicit_directories);
  number("auxiliarySkipped", s.auxiliary_skipped);
  o.Set("opaqueRoot", s.opaque_root);
  o.Set("endMarker", end_marker);
  return o;
}

/** From (directory, form, userxattr, sync, limits). */
std::unique_ptr<LayerBuilder> makeBuilder(const Napi::CallbackInfo& info) {
  const std::string directory = info[0].As<Napi::String>();
  const bool user_xattrs = info[2].As<Napi::Boolean>();
  const bool sync = info[3].As<Napi::Boolean>();
  const Limits limits = limitsOf(info[4].As<Napi::Array>());
  if (info[1].As<Napi::String>().Utf8Value() == "erofs") return std::make_unique<ErofsLayer>(directory, user_xattrs, sync, limits);
  return std::make_unique<LayerExtractor>(directory, user_xattrs, sync, limits);
}

/** One layer; TypeScript sees to it that only one call is under way. */
class LayerHandle : public Napi::ObjectWrap<LayerHandle> {
 public:
  /** new LayerHandle(directory, form, userxattr, sync, limits) */
  explicit LayerHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LayerHandle>(info) {
    builder_ = makeBuilder(info);
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "LayerHandle",
                       {InstanceMethod<&LayerHandle::open>("open"), InstanceMethod<&LayerHandle::write>("write"),
                        InstanceMethod<&LayerHandle::end>("end"), InstanceMethod<&LayerHandle::abort>("abort")});
  }

 private:
  Napi::Value open(const Napi::CallbackInfo& info) {
    return AsyncTask::start(info.Env(), [e = builder_]() -> Settle {
      e->open();
      return {};
    });
  }

  Napi::Value write(const Napi::CallbackInfo& info) {
    const auto chunk = info[0].As<Napi::Uint8Array>();
    // SAFETY: copied. The pool reads it while JS runs, and JS may transfer the buffer away or change it meanwhile.
    auto bytes = std::make_shared<std::vector<uint8_t>>(chunk.Data(), chunk.Data() + chunk.ByteLength());
    return AsyncTask::start(info.Env(), [e = builder_, bytes]() -> Settle {
      e->write(bytes->data(), bytes->size());
      return {};
    });
  }

  Napi::Value end(const Napi::CallbackInfo& info) {
    return AsyncTask::start(info.Env(), [e = builder_]() -> Settle {
      const auto outcome = e->end();
      return [outcome](Napi::Env env) { return statsObject(env, outcome.stats, outcome.end_marker); };
    });
  }

  Napi::Value abort(const Napi::CallbackInfo& info) {
    return AsyncTask::start(info.Env(), [e = builder_]() -> Settle {
      e->abort();
      return {};
    });
  }

  std::shared_ptr<LayerBuilder> builder_;
};

/**
 * What the threads call, and who ends first: the object, when it is collected, or the environment, which at its end frees the
 * function without asking. Both run on the thread of JavaScript, and both join the pipeline's threads first.
 */
struct Link {
  Napi::ThreadSafeFunction drained;
  std::shared_ptr<LayerPipeline> pipeline;
  bool closed = false;

  /** The function is about to be freed. */
  void close() {
    closed = true;
    pipeline->abortQuietly();
  }
  void release() {
    pipeline->abortQuietly();
    if (!std::exchange(closed, true)) drained.Release();
  }
};

/** One compressed layer on two threads of its own. */
class PipelineHandle : public Napi::ObjectWrap<PipelineHandle> {
 public:
  /** new PipelineHandle(directory, form, userxattr, sync, limits, maxRatio, digest, size, diffId, zlib, drained) */
  explicit PipelineHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PipelineHandle>(info), link_(std::make_shared<Link>()) {
    Expected expected{info[6].As<Napi::String>(), static_cast<uint64_t>(info[7].As<Napi::Number>().Int64Value()), info[8].As<Napi::String>()};
    const auto ratio = static_cast<uint64_t>(info[5].As<Napi::Number>().Int64Value());
    const auto call = [link = link_.get()] { link->drained.NonBlockingCall(); };
    const GzipBy by = info[9].As<Napi::Boolean>() ? GzipBy::zlib : GzipBy::fastest;
    pipeline_ = std::make_shared<LayerPipeline>(makeBuilder(info), std::move(expected), ratio, by, call);
    link_->pipeline = pipeline_;
    link_->drained = Napi::ThreadSafeFunction::New(info.Env(), info[10].As<Napi::Function>(), "ctr.layer", 0, 1, new std::shared_ptr<Link>(link_),
                                                   [](Napi::Env, std::shared_ptr<Link>* link) {
                                                     (*link)->close();
                                                     delete link;
                                                   });
    link_->drained.Unref(info.Env());
  }

  ~PipelineHandle() override { link_->release(); }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "PipelineHandle",
                       {InstanceMethod<&PipelineHandle::open>("open"), InstanceMethod<&PipelineHandle::write>("write"),
                        InstanceMethod<&PipelineHandle::rest>("rest"),
                        InstanceMethod<&PipelineHandle::unpacked>("unpacked"), InstanceMethod<&PipelineHandle::end>("end"),
                        InstanceMethod<&PipelineHandle::abort>("abort")});
  }

 private:
  Napi::Value open(const Napi::CallbackInfo& info) {
    pipeline_->start();
    return info.Env().Undefined();
  }

  /** undefined: something failed. False: wait for `drained`, which keeps the event loop alive until rest() is called. */
  Napi::Value write(const Napi::CallbackInfo& info) {
    const auto chunk = info[0].As<Napi::Uint8Array>();
    // SAFETY: copied. The threads read it while JS runs, and JS may transfer the buffer away or change it meanwhile.
    const auto taken = pipeline_->write(copyOf(chunk.Data(), chunk.ByteLength()));
    if (taken == LayerPipeline::Taken::stopped) return info.Env().Undefined();
    if (taken == LayerPipeline::Taken::full) link_->drained.Ref(info.Env());
    return Napi::Boolean::New(info.Env(), taken == LayerPipeline::Taken::roomLeft);
  }

  Napi::Value unpacked(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), static_cast<double>(pipeline_->unpacked())); }

  Napi::Value rest(const Napi::CallbackInfo& info) {
    link_->drained.Unref(info.Env());
    return info.Env().Undefined();
  }

  Napi::Value end(const Napi::CallbackInfo& info) {
    return AsyncTask::start(info.Env(), [p = pipeline_]() -> Settle {
      const auto outcome = std::make_shared<LayerPipeline::Outcome>(p->end());
      return [outcome](Napi::Env env) {
        Napi::Object o = statsObject(env, outcome->layer.stats, outcome->layer.end_marker).As<Napi::Object>();
        o.Set("digest", outcome->digest);
        o.Set("size", Napi::Number::New(env, static_cast<double>(outcome->size)));
        o.Set("diffId", outcome->diff_id);
        return o;
      };
    });
  }

  Napi::Value abort(const Napi::CallbackInfo& info) {
    return AsyncTask::start(info.Env(), [p = pipeline_]() -> Settle {
      p->abort();
      return {};
    });
  }

  std::shared_ptr<Link> link_;
  std::shared_ptr<LayerPipeline> pipeline_;
};

/** decompressors(): { gzip, zstd, sha256 } */
Napi::Value decompressors(const Napi::CallbackInfo& info) {
  const Decompressors found = availableDecompressors();
  Napi::Object o = Napi::Object::New(info.Env());
  o.Set("gzip", found.gzip);
  o.Set("zstd", found.zstd);
  o.Set("sha256", Sha256::present());
  return o;
}

}  // namespace

void exportLayerHandles(Napi::Env env, Napi::Object exports) {
  exports.Set("LayerHandle", LayerHandle::define(env));
  exports.Set("PipelineHandle", PipelineHandle::define(env));
  exports.Set("decompressors", Napi::Function::New<decompressors>(env, "decompressors"));
}

}  // namespace ctr
