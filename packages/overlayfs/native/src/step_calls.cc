// A number goes by value, a string or bytes by pointer, null as null. Every call runs on the pool: creating an overlay
// makes directories on disk and may sleep. The numbers are the kernel's generic ones, equal on every architecture
// since Linux 5.0, for headers that are older than the call.
#include "step_calls.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "async_task.h"

namespace ctr {
namespace {

struct Call {
  const char* name;
  long number;
};

constexpr Call kCalls[] = {
    {"openat", SYS_openat}, {"mkdirat", SYS_mkdirat}, {"symlinkat", SYS_symlinkat}, {"fchmodat", SYS_fchmodat},
    {"chdir", SYS_chdir},   {"mount", SYS_mount},     {"umount2", SYS_umount2},     {"open_tree", 428},
    {"move_mount", 429},    {"fsopen", 430},          {"fsconfig", 431},            {"fsmount", 432},
    {"mount_setattr", 442}, {"flock", SYS_flock},     {"syncfs", SYS_syncfs},
};

using Argument = std::variant<long, std::string>;

Argument argumentOf(const Napi::Value& v) {
  if (v.IsString()) return v.As<Napi::String>().Utf8Value();
  if (v.IsTypedArray()) {
    const auto bytes = v.As<Napi::Uint8Array>();
    return std::string(reinterpret_cast<const char*>(bytes.Data()), bytes.ByteLength());
  }
  if (v.IsNumber()) return static_cast<long>(v.As<Napi::Number>().Int64Value());
  return 0L;
}

long perform(const Call& call, const std::vector<Argument>& arguments) {
  std::array<long, 6> raw{};
  for (size_t i = 0; i < arguments.size() && i < raw.size(); i++) {
    const auto* text = std::get_if<std::string>(&arguments[i]);
    raw[i] = text != nullptr ? reinterpret_cast<long>(text->c_str()) : std::get<long>(arguments[i]);
  }
  return check(retry([&] { return ::syscall(call.number, raw[0], raw[1], raw[2], raw[3], raw[4], raw[5]); }), call.name);
}

Napi::Value run(const Call& call, const Napi::CallbackInfo& info) {
  std::vector<Argument> arguments;
  for (size_t i = 0; i < info.Length(); i++) arguments.push_back(argumentOf(info[i]));
  return AsyncTask::start(info.Env(), [&call, arguments = std::move(arguments)]() -> Settle {
    const long result = perform(call, arguments);
    return [result](Napi::Env env) { return Napi::Number::New(env, static_cast<double>(result)); };
  });
}

}  // namespace

void exportStepCalls(Napi::Env env, Napi::Object exports) {
  for (const Call& call : kCalls)
    exports.Set(call.name, Napi::Function::New(env, [&call](const Napi::CallbackInfo& info) { return run(call, info); }, call.name));
}

}  // namespace ctr
