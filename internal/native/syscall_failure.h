// How native code reports a failed system call: facts only, the sentence is made in TypeScript.
// A function throws SyscallFailure; `guarded` turns it into a plain JS Error with
// { errno (negative), syscall, path? }, which the package's native.ts turns into a SyscallError.
#pragma once
#include <napi.h>

#include <cerrno>
#include <string>
#include <utility>

namespace ctr {

struct SyscallFailure {
  int error;
  std::string syscall;
  std::string path;
};

/** Returns `result` when it is not negative, else throws with the errno of now. */
template <typename T>
T check(T result, const char* syscall, std::string path = {}) {
  if (result < 0) throw SyscallFailure{errno, syscall, std::move(path)};
  return result;
}

/** Repeats a call that a signal interrupted. */
template <typename F>
auto retry(F call) {
  decltype(call()) r;
  do r = call();
  while (r < 0 && errno == EINTR);
  return r;
}

inline Napi::Error toError(Napi::Env env, const SyscallFailure& f) {
  Napi::Error error = Napi::Error::New(env, f.syscall + ": errno " + std::to_string(f.error));
  error.Set("errno", Napi::Number::New(env, -f.error));
  error.Set("syscall", Napi::String::New(env, f.syscall));
  if (!f.path.empty()) error.Set("path", Napi::String::New(env, f.path));
  return error;
}

/** Wraps an exported function: a SyscallFailure becomes a JS exception. */
template <typename F>
auto guarded(F body) {
  return [body](const Napi::CallbackInfo& info) -> Napi::Value {
    try {
      return body(info);
    } catch (const SyscallFailure& f) {
      throw toError(info.Env(), f);
    }
  };
}

}  // namespace ctr
