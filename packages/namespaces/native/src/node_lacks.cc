// The calls behind src/terminal and the checks of options: facts and descriptors, no policy.
#include "node_lacks.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "syscall_failure.h"

namespace ctr {
namespace {

int intArg(const Napi::CallbackInfo& info, std::size_t i) { return info[i].As<Napi::Number>().Int32Value(); }

}  // namespace

/** ioctl(2), TIOCSWINSZ: setWindowSize(fd, columns, rows) */
Napi::Value setWindowSize(const Napi::CallbackInfo& info) {
  winsize size = {};
  size.ws_col = static_cast<unsigned short>(intArg(info, 1));
  size.ws_row = static_cast<unsigned short>(intArg(info, 2));
  return Napi::Number::New(info.Env(), check(::ioctl(intArg(info, 0), TIOCSWINSZ, &size), "ioctl"));
}

/** poll(2) without waiting: whether there is something to read. The kernel moves along what was just written before it answers (n_tty_poll). */
Napi::Value readable(const Napi::CallbackInfo& info) {
  pollfd p = {intArg(info, 0), POLLIN, 0};
  return Napi::Boolean::New(info.Env(), check(retry([&] { return ::poll(&p, 1, 0); }), "poll") == 1 && (p.revents & POLLIN) != 0);
}

/** landlock_create_ruleset(2), LANDLOCK_CREATE_RULESET_VERSION: 0 where there is none */
Napi::Value landlockAbi(const Napi::CallbackInfo& info) {
  constexpr long kCreateRuleset = 444;
  const long version = ::syscall(kCreateRuleset, nullptr, 0, 1);
  return Napi::Number::New(info.Env(), static_cast<double>(version < 0 ? 0 : version));
}

}  // namespace ctr
