#include "pack_handle.h"

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "async_task.h"
#include "directory_packer.h"
#include "upper_packer.h"

namespace ctr {
namespace {

std::vector<std::string> pathsOf(const Napi::Value& list) {
  std::vector<std::string> out;
  const auto array = list.As<Napi::Array>();
  for (uint32_t i = 0; i < array.Length(); i++) out.push_back(array.Get(i).As<Napi::String>());
  return out;
}

/** [inside, outside, size, inside, …] or undefined */
IdMap idMapOf(const Napi::Value& list) {
  IdMap out;
  if (list.IsUndefined()) return out;
  const auto numbers = list.As<Napi::Uint32Array>();
  for (size_t i = 0; i + 2 < numbers.ElementLength(); i += 3) out.push_back({numbers[i], numbers[i + 1], numbers[i + 2]});
  return out;
}

/** { paths, uid, gid } */
UpperPacker::Stack stackOf(const Napi::Value& value) {
  const auto stack = value.As<Napi::Object>();
  return {pathsOf(stack.Get("paths")), {idMapOf(stack.Get("uid")), idMapOf(stack.Get("gid"))}};
}

/** Its files are open until it is closed or collected; TypeScript sees to it that only one call is under way. */
class PackHandle : public Napi::ObjectWrap<PackHandle> {
 public:
  /** new PackHandle(directory, uid | null, gid | null, mtime | null), or new PackHandle(uppers, lowers, except): see src/native.ts */
  explicit PackHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<PackHandle>(info) {
    if (info[0].IsObject()) {
      const auto except = pathsOf(info[2]);
      packer_ = std::make_shared<UpperPacker>(stackOf(info[0]), stackOf(info[1]), std::set<std::string>(except.begin(), except.end()));
      return;
    }
    PackOptions options;
    const auto number = [&info](size_t i) { return info[i].As<Napi::Number>().Int64Value(); };
    if (!info[1].IsNull()) options.owner = {static_cast<uint32_t>(number(1)), static_cast<uint32_t>(number(2))};
    if (!info[3].IsNull()) options.mtime = static_cast<uint64_t>(number(3));
    packer_ = std::make_shared<DirectoryPacker>(info[0].As<Napi::String>(), options);
  }

  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "PackHandle", {InstanceMethod<&PackHandle::next>("next"), InstanceMethod<&PackHandle::close>("close")});
  }

 private:
  /** next(size): Buffer | null */
  Napi::Value next(const Napi::CallbackInfo& info) {
    const auto size = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
    return AsyncTask::start(info.Env(), [p = packer_, size]() -> Settle {
      const auto bytes = std::make_shared<std::string>(p->next(size));
      return [bytes](Napi::Env env) -> Napi::Value {
        if (bytes->empty()) return env.Null();
        return Napi::Buffer<char>::Copy(env, bytes->data(), bytes->size());
      };
    });
  }

  Napi::Value close(const Napi::CallbackInfo& info) {
    packer_->close();
    return info.Env().Undefined();
  }

  std::shared_ptr<Packer> packer_;
};

}  // namespace

void exportPackHandle(Napi::Env env, Napi::Object exports) { exports.Set("PackHandle", PackHandle::define(env)); }

}  // namespace ctr
