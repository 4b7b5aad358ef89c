// The descriptors that JavaScript owns by number. A worker thread may be terminated at any moment, and numbers have no
// destructor: what is still open then is closed with the environment, so that nothing leaks into the process.
#pragma once
#include <napi.h>
#include <unistd.h>

#include <set>

namespace ctr {

class OpenFds {
 public:
  OpenFds() = default;
  OpenFds(const OpenFds&) = delete;
  OpenFds& operator=(const OpenFds&) = delete;
  ~OpenFds() {
    for (const int fd : fds_) ::close(fd);
  }
  /** Those of the environment; made by the addon's initialisation. */
  static OpenFds& of(Napi::Env env) { return *env.GetInstanceData<OpenFds>(); }

  int add(int fd) {
    fds_.insert(fd);
    return fd;
  }
  /** Somebody else closes it from now on. */
  int release(int fd) {
    fds_.erase(fd);
    return fd;
  }

 private:
  std::set<int> fds_;
};

}  // namespace ctr
