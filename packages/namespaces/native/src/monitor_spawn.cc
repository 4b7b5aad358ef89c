// The program runs from a sealed memfd: no file on disk is ever /proc/<pid>/exe of a process beside a container
// (CVE-2019-5736), and deleting or upgrading the package does not touch a running monitor.
// posix_spawn has vfork semantics in glibc and musl: its cost does not grow with Node's heap.
#include "monitor_spawn.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <csignal>
#include <string>

#include "syscall_failure.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace ctr {
namespace {

UniqueFd sealedCopy(const void* program, std::size_t size) {
  // MFD_EXEC since Linux 6.3; before, every memfd may be executed.
  int fd = static_cast<int>(::syscall(SYS_memfd_create, "ctr-init", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC));
  if (fd < 0 && errno == EINVAL) fd = static_cast<int>(::syscall(SYS_memfd_create, "ctr-init", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  UniqueFd memfd{check(fd, "memfd_create")};
  const auto* at = static_cast<const char*>(program);
  while (size > 0) {
    const auto n = check(retry([&] { return ::write(memfd.get(), at, size); }), "write");
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  check(::fcntl(memfd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE), "fcntl");
  return memfd;
}

/** Above the numbers that the child's descriptors get, so that no dup2 can overwrite another one's source. */
UniqueFd moveUp(UniqueFd fd) { return UniqueFd{check(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 10), "fcntl")}; }

class SpawnSetup {
 public:
  SpawnSetup(int control, int lifeline) {
    must(posix_spawn_file_actions_init(&actions_));
    must(posix_spawnattr_init(&attributes_));
    for (const int fd : {0, 1, 2}) must(posix_spawn_file_actions_addopen(&actions_, fd, "/dev/null", O_RDWR, 0));
    must(posix_spawn_file_actions_adddup2(&actions_, control, 3));
    must(posix_spawn_file_actions_adddup2(&actions_, lifeline, 4));
    // From its first instruction on no signal of a terminal or a user ends the monitor; it never unblocks them.
    sigset_t all;
    sigfillset(&all);
    must(posix_spawnattr_setsigmask(&attributes_, &all));
    must(posix_spawnattr_setsigdefault(&attributes_, &all));
    must(posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID));
  }
  SpawnSetup(const SpawnSetup&) = delete;
  SpawnSetup& operator=(const SpawnSetup&) = delete;
  ~SpawnSetup() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  int run(const std::string& path) {
    char name[] = "ctr-init";
    char* argv[] = {name, nullptr};
    // No environment: nothing of Node's can be read from the monitor or reach a container through it.
    char* envp[] = {nullptr};
    pid_t pid = -1;
    must(posix_spawn(&pid, path.c_str(), &actions_, &attributes_, argv, envp), path);
    return pid;
  }

 private:
  static void must(int error, const std::string& path = {}) {
    if (error != 0) throw SyscallFailure{error, "posix_spawn", path};
  }
  posix_spawn_file_actions_t actions_;
  posix_spawnattr_t attributes_;
};

}  // namespace

SpawnedMonitor spawnMonitor(const void* program, std::size_t size) {
  SpawnedMonitor result;
  const UniqueFd memfd = moveUp(sealedCopy(program, size));
  int pair[2], pipe[2];
  check(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), "socketpair");
  result.control.reset(pair[0]);
  const UniqueFd theirs = moveUp(UniqueFd{pair[1]});
  check(::pipe2(pipe, O_CLOEXEC), "pipe2");
  result.lifeline.reset(pipe[1]);
  // Orders are written to it, and nobody here may wait.
  check(::fcntl(result.lifeline.get(), F_SETFL, O_NONBLOCK), "fcntl");
  const UniqueFd lifeline = moveUp(UniqueFd{pipe[0]});
  result.pid = SpawnSetup{theirs.get(), lifeline.get()}.run("/proc/self/fd/" + std::to_string(memfd.get()));
  result.pidfd.reset(static_cast<int>(check(::syscall(SYS_pidfd_open, result.pid, 0), "pidfd_open")));
  // A plan with a large environment fits in one datagram; the kernel doubles and caps it, a failure costs nothing.
  const int bytes = 512 * 1024;
  ::setsockopt(result.control.get(), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  return result;
}

}  // namespace ctr
