#include "device_program.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "syscall_failure.h"
#include "unique_fd.h"

namespace ctr {
namespace {

/** How a program of ours is known again: systemd calls its own sd_devices, runc's have no name. */
constexpr std::string_view kName = "ctr_devices";

/** More than this many programs the kernel puts on no cgroup (BPF_CGROUP_MAX_PROGS). */
constexpr std::size_t kMost = 64;

long bpf(int command, bpf_attr& attr) { return ::syscall(SYS_bpf, command, &attr, sizeof attr); }

std::uint64_t pointer(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }

UniqueFd load(const std::uint8_t* instructions, std::size_t length) {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = pointer(instructions);
  attr.insn_cnt = static_cast<std::uint32_t>(length / sizeof(bpf_insn));
  attr.license = pointer("MIT");
  kName.copy(attr.prog_name, sizeof attr.prog_name - 1);
  return UniqueFd(static_cast<int>(check(bpf(BPF_PROG_LOAD, attr), "bpf")));
}

std::vector<std::uint32_t> attachedTo(int directory, const std::string& path) {
  std::array<std::uint32_t, kMost> ids{};
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.query.target_fd = static_cast<std::uint32_t>(directory);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = pointer(ids.data());
  attr.query.prog_cnt = ids.size();
  check(bpf(BPF_PROG_QUERY, attr), "bpf", path);
  return {ids.begin(), ids.begin() + attr.query.prog_cnt};
}

/** An invalid descriptor when the program has gone meanwhile. */
UniqueFd byId(std::uint32_t id, const std::string& path) {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_id = id;
  const long fd = bpf(BPF_PROG_GET_FD_BY_ID, attr);
  if (fd < 0 && errno == ENOENT) return {};
  return UniqueFd(static_cast<int>(check(fd, "bpf", path)));
}

bool isOurs(int program, const std::string& path) {
  bpf_prog_info info;
  std::memset(&info, 0, sizeof info);
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.info.bpf_fd = static_cast<std::uint32_t>(program);
  attr.info.info_len = sizeof info;
  attr.info.info = pointer(&info);
  check(bpf(BPF_OBJ_GET_INFO_BY_FD, attr), "bpf", path);
  return kName == info.name;
}

std::vector<UniqueFd> oursOn(int directory, const std::string& path) {
  std::vector<UniqueFd> ours;
  for (const std::uint32_t id : attachedTo(directory, path)) {
    UniqueFd program = byId(id, path);
    if (program.valid() && isOurs(program.get(), path)) ours.push_back(std::move(program));
  }
  return ours;
}

/** With MULTI every program on the way up has to agree, so nothing that is attached further down can widen it. */
void change(int command, int directory, int program, const std::string& path) {
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.target_fd = static_cast<std::uint32_t>(directory);
  attr.attach_bpf_fd = static_cast<std::uint32_t>(program);
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = command == BPF_PROG_ATTACH ? BPF_F_ALLOW_MULTI : 0;
  check(bpf(command, attr), "bpf", path);
}

}  // namespace

Napi::Value loadDevices(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto bytes = info[0].As<Napi::Uint8Array>();
  auto program = std::make_shared<UniqueFd>(load(bytes.Data(), bytes.ByteLength()));
  Napi::Object result = Napi::Object::New(env);
  result.Set("fd", Napi::Number::New(env, program->get()));
  result.Set("close", Napi::Function::New(env, [program](const Napi::CallbackInfo&) { program->reset(); }));
  return result;
}

Napi::Value attachDevices(const Napi::CallbackInfo& info) {
  const std::string path = info[0].As<Napi::String>().Utf8Value();
  const int program = info[1].As<Napi::Number>().Int32Value();
  const UniqueFd directory(check(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), "open", path));
  const std::vector<UniqueFd> before = oursOn(directory.get(), path);
  // The new one first: in between both hold, and no moment is without rules.
  if (program >= 0) change(BPF_PROG_ATTACH, directory.get(), program, path);
  for (const UniqueFd& old : before) change(BPF_PROG_DETACH, directory.get(), old.get(), path);
  return info.Env().Undefined();
}

}  // namespace ctr
