// The exports table: the layer writer, reading and removing by descriptor, and the calls that mount steps are made of.
#include <napi.h>

#include <memory>
#include <string>
#include <vector>

#include "async_task.h"
#include "erofs_layer.h"
#include "erofs_mount.h"
#include "layer_extractor.h"
#include "read_in_layers.h"
#include "remove_tree.h"
#include "scan_directory.h"
#include "step_calls.h"

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

/** One layer; TypeScript sees to it that only one call is under way. */
class LayerHandle : public Napi::ObjectWrap<LayerHandle> {
 public:
  /** new LayerHandle(directory, form, userxattr, sync, limits) */
  explicit LayerHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<LayerHandle>(info) {
    const std::string directory = info[0].As<Napi::String>();
    const bool user_xattrs = info[2].As<Napi::Boolean>();
    const bool sync = info[3].As<Napi::Boolean>();
    const Limits limits = limitsOf(info[4].As<Napi::Array>());
    if (info[1].As<Napi::String>().Utf8Value() == "erofs") builder_ = std::make_shared<ErofsLayer>(directory, user_xattrs, sync, limits);
    else builder_ = std::make_shared<LayerExtractor>(directory, user_xattrs, sync, limits);
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

/** close(fd): of descriptors that steps opened. Node's own closeSync warns in worker threads about what it did not open. */
Napi::Value closeDescriptor(const Napi::CallbackInfo& info) {
  ::close(info[0].As<Napi::Number>().Int32Value());
  return info.Env().Undefined();
}

/** mountErofs(path): { fd, backing } */
Napi::Value mountErofsAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [path = info[0].As<Napi::String>().Utf8Value()]() -> Settle {
    UniqueFd file(check(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC), "open", path));
    auto mount = std::make_shared<ErofsMount>(mountErofs(file.get(), path));
    return [mount](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("backing", mount->backing == ErofsBacking::file ? "file" : "loop");
      result.Set("fd", Napi::Number::New(env, mount->fd.get()));
      mount->fd.release();
      return result;
    };
  });
}

/** removeTree(path) */
Napi::Value removeTreeAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [path = info[0].As<Napi::String>().Utf8Value()]() -> Settle {
    removeTree(path);
    return {};
  });
}

/** readInLayers(layers, path, maxBytes) */
Napi::Value readInLayersAsync(const Napi::CallbackInfo& info) {
  std::vector<std::string> layers;
  const auto list = info[0].As<Napi::Array>();
  for (uint32_t i = 0; i < list.Length(); i++) layers.push_back(list.Get(i).As<Napi::String>());
  const auto max = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  return AsyncTask::start(info.Env(), [layers, path = info[1].As<Napi::String>().Utf8Value(), max]() -> Settle {
    const auto content = readInLayers(layers, path, max);
    return [content](Napi::Env env) -> Napi::Value {
      if (!content) return env.Null();
      return Napi::Buffer<char>::Copy(env, content->data(), content->size());
    };
  });
}

Napi::Value toObject(Napi::Env env, const ScannedEntry& e) {
  Napi::Object o = Napi::Object::New(env);
  const auto number = [&](const char* key, double value) { o.Set(key, Napi::Number::New(env, value)); };
  const auto bytes = [&](const std::string& s) { return Napi::Buffer<char>::Copy(env, s.data(), s.size()); };
  o.Set("name", bytes(e.name));
  number("mode", e.mode);
  number("uid", e.uid);
  number("gid", e.gid);
  number("links", e.links);
  number("size", static_cast<double>(e.size));
  o.Set("inode", Napi::String::New(env, std::to_string(e.device) + ":" + std::to_string(e.inode)));
  number("major", e.major);
  number("minor", e.minor);
  number("mtime", static_cast<double>(e.mtime));
  number("mtimeNs", e.mtime_ns);
  if (!e.target.empty()) o.Set("target", bytes(e.target));
  Napi::Object xattrs = Napi::Object::New(env);
  for (const auto& [name, value] : e.xattrs) xattrs.Set(name, bytes(value));
  o.Set("xattrs", xattrs);
  return o;
}

/** A path as bytes. */
std::string bytesOf(const Napi::Value& v) {
  const auto b = v.As<Napi::Uint8Array>();
  return {reinterpret_cast<const char*>(b.Data()), b.ByteLength()};
}

/** scanDirectory(rootFd, path) */
Napi::Value scanDirectoryAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [root = info[0].As<Napi::Number>().Int32Value(), path = bytesOf(info[1])]() -> Settle {
    const auto entries = std::make_shared<std::vector<ScannedEntry>>(scanDirectory(root, path));
    return [entries](Napi::Env env) -> Napi::Value {
      Napi::Array list = Napi::Array::New(env, entries->size());
      for (uint32_t i = 0; i < entries->size(); i++) list.Set(i, toObject(env, (*entries)[i]));
      return list;
    };
  });
}

/** openFileBelow(rootFd, path): fd */
Napi::Value openFileBelowAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [root = info[0].As<Napi::Number>().Int32Value(), path = bytesOf(info[1])]() -> Settle {
    const int fd = openFileBelow(root, path);
    return [fd](Napi::Env env) { return Napi::Number::New(env, fd); };
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("LayerHandle", LayerHandle::define(env));
  exports.Set("close", Napi::Function::New<closeDescriptor>(env, "close"));
  exports.Set("mountErofs", Napi::Function::New<mountErofsAsync>(env, "mountErofs"));
  exports.Set("scanDirectory", Napi::Function::New<scanDirectoryAsync>(env, "scanDirectory"));
  exports.Set("openFileBelow", Napi::Function::New<openFileBelowAsync>(env, "openFileBelow"));
  exports.Set("removeTree", Napi::Function::New<removeTreeAsync>(env, "removeTree"));
  exports.Set("readInLayers", Napi::Function::New<readInLayersAsync>(env, "readInLayers"));
  exportStepCalls(env, exports);
  return exports;
}

}  // namespace
}  // namespace ctr

static Napi::Object init(Napi::Env env, Napi::Object exports) { return ctr::init(env, exports); }
NODE_API_MODULE(ctr_overlayfs, init)
