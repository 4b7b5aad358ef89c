// Runs a function on libuv's pool and settles a promise with its result. What it throws becomes a plain JS Error with
// facts as properties; TypeScript makes the sentence.
#pragma once
#include <napi.h>

#include <functional>
#include <string>
#include <utility>
#include <variant>

#include "layer_failure.h"
#include "read_in_layers.h"
#include "syscall_failure.h"

namespace ctr {

/** Runs on the pool; returns what makes the JS value, on the main thread. */
using Settle = std::function<Napi::Value(Napi::Env)>;
using Work = std::function<Settle()>;

class AsyncTask final : public Napi::AsyncWorker {
 public:
  static Napi::Promise start(Napi::Env env, Work work) {
    auto* task = new AsyncTask(env, std::move(work));  // deletes itself after OnOK
    task->Queue();
    return task->deferred_.Promise();
  }

 protected:
  void Execute() override {
    try {
      settle_ = work_();
    } catch (const SyscallFailure& f) {
      failure_ = f;
    } catch (const LayerFailure& f) {
      failure_ = Refusal{f.limit ? "layer-limit" : "layer-invalid", f.reason, f.entry};
    } catch (const ReadFailure& f) {
      failure_ = Refusal{"read", f.reason, f.path};
    }  // others, such as bad_alloc, are caught by AsyncWorker and go to OnError
  }

  void OnOK() override {
    work_ = nullptr;
    unlessEnding([this] { settle(); });
  }

  void OnError(const Napi::Error& error) override {
    unlessEnding([&] { deferred_.Reject(error.Value()); });
  }

 private:
  struct Refusal {
    const char* kind;
    const char* reason;
    std::string name;
  };

  /** A thread that is being terminated can run no JavaScript (napi_cannot_run_js): nobody is left to be told. */
  template <typename F>
  static void unlessEnding(F body) {
    try {
      body();
    } catch (const Napi::Error&) {
    }
  }

  void settle() {
    if (const auto* f = std::get_if<SyscallFailure>(&failure_)) return deferred_.Reject(toError(Env(), *f).Value());
    if (const auto* f = std::get_if<Refusal>(&failure_)) return rejectWith(*f);
    deferred_.Resolve(settle_ ? settle_(Env()) : Env().Undefined());
  }

  AsyncTask(Napi::Env env, Work work) : Napi::AsyncWorker(env), deferred_(env), work_(std::move(work)) {}

  void rejectWith(const Refusal& r) {
    Napi::Error error = Napi::Error::New(Env(), r.reason);
    error.Set("kind", Napi::String::New(Env(), r.kind));
    error.Set("reason", Napi::String::New(Env(), r.reason));
    error.Set("entry", Napi::String::New(Env(), r.name));
    deferred_.Reject(error.Value());
  }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Settle settle_;
  std::variant<std::monostate, SyscallFailure, Refusal> failure_;
};

}  // namespace ctr
