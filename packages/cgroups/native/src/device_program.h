// bpf(2) for the device rules of cgroup v2: load a program, put it on a cgroup.
#pragma once
#include <napi.h>

namespace ctr {

/** loadDevices(instructions) -> { fd, close() } */
Napi::Value loadDevices(const Napi::CallbackInfo& info);

/** attachDevices(directory, fd): `fd` takes the place of the programs of ours that are on the cgroup; -1 only removes those. */
Napi::Value attachDevices(const Napi::CallbackInfo& info);

}  // namespace ctr
