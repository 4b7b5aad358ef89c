// The exports table: the layer writer, reading and removing by descriptor, and the calls that mount steps are made of.
#include <fcntl.h>
#include <napi.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "async_task.h"
#include "erofs_mount.h"
#include "gzip_handle.h"
#include "layer_handles.h"
#include "pack_handle.h"
#include "read_in_layers.h"
#include "remove_tree.h"
#include "scan_directory.h"
#include "sized_upper.h"
#include "step_calls.h"

namespace ctr {
namespace {

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
  exportLayerHandles(env, exports);
  exportPackHandle(env, exports);
  exportGzipHandle(env, exports);
  exportSizedUpper(env, exports);
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
