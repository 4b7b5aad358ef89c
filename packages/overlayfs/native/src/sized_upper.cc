#include "sized_upper.h"

#include <memory>
#include <string>

#include "async_task.h"
#include "loop_device.h"
#include "project_quota.h"
#include "sparse_copy.h"
#include "sys.h"

namespace ctr {
namespace {

std::string textOf(const Napi::Value& v) { return v.As<Napi::String>().Utf8Value(); }

/** attachLoop(path): { fd, name } */
Napi::Value attachLoopAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [path = textOf(info[0])]() -> Settle {
    const UniqueFd file(check(::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC), "open", path));
    const auto device = std::make_shared<LoopDevice>(attachLoop(file.get(), path, LoopAccess::read_write));
    return [device](Napi::Env env) -> Napi::Value {
      Napi::Object result = Napi::Object::New(env);
      result.Set("name", device->name);
      result.Set("fd", Napi::Number::New(env, device->fd.get()));
      device->fd.release();
      return result;
    };
  });
}

/** copySparse(from, to) */
Napi::Value copySparseAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [from = textOf(info[0]), to = textOf(info[1])]() -> Settle {
    copySparse(from, to);
    return {};
  });
}

/** enforcesProjects(directory): boolean */
Napi::Value enforcesProjectsAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [path = textOf(info[0])]() -> Settle {
    const UniqueFd directory(check(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
    const bool enforced = enforcesProjects(directory.get());
    return [enforced](Napi::Env env) { return Napi::Boolean::New(env, enforced); };
  });
}

/** limitProject(parent, directory, bytes): id */
Napi::Value limitProjectAsync(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<uint64_t>(info[2].As<Napi::Number>().Int64Value());
  return AsyncTask::start(info.Env(), [parent = textOf(info[0]), directory = textOf(info[1]), bytes]() -> Settle {
    const uint32_t id = limitProject(parent, directory, bytes);
    return [id](Napi::Env env) { return Napi::Number::New(env, id); };
  });
}

/** releaseProject(parent, id) */
Napi::Value releaseProjectAsync(const Napi::CallbackInfo& info) {
  return AsyncTask::start(info.Env(), [parent = textOf(info[0]), id = info[1].As<Napi::Number>().Uint32Value()]() -> Settle {
    releaseProject(parent, id);
    return {};
  });
}

}  // namespace

void exportSizedUpper(Napi::Env env, Napi::Object exports) {
  exports.Set("attachLoop", Napi::Function::New<attachLoopAsync>(env, "attachLoop"));
  exports.Set("copySparse", Napi::Function::New<copySparseAsync>(env, "copySparse"));
  exports.Set("enforcesProjects", Napi::Function::New<enforcesProjectsAsync>(env, "enforcesProjects"));
  exports.Set("limitProject", Napi::Function::New<limitProjectAsync>(env, "limitProject"));
  exports.Set("releaseProject", Napi::Function::New<releaseProjectAsync>(env, "releaseProject"));
}

}  // namespace ctr
