// The first process of a container on request (`init: true`): starts the program, passes signals on to it, takes in what
// others left behind, and ends as the program does. It is run from the monitor's own sealed memory file with
//   init <count> <path>... <program's argv>...
// where the program is the first of `count` paths that can be run. See init(1), tini(1), pid_namespaces(7).
#include "reaper.h"

namespace ctr {
namespace {

constexpr u64 bit(int signal) { return u64{1} << (signal - 1); }
/** Faults of our own are not passed on but end us: SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGSEGV, SIGSYS. */
constexpr u64 kPassedOn = ~(bit(4) | bit(5) | bit(6) | bit(7) | bit(8) | bit(11) | bit(31));
constexpr int kCannotRun = 126, kNotFound = 127, kSignalled = 128;
constexpr u64 kTIOCSPGRP = 0x5410;

void setMask(u64 mask) { syscall6(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, ptr(&mask), 0, sizeof mask); }

u32 number(const char* text) {
  u32 n = 0;
  for (; *text >= '0' && *text <= '9'; text++) n = n * 10 + static_cast<u32>(*text - '0');
  return n;
}

/** A group of its own in the foreground of the terminal, if there is one: Control-C is for the program. */
[[noreturn]] void runProgram(char** paths, u32 count, char** argv, char** envp) {
  syscall6(__NR_setpgid, 0, 0);
  const i32 group = static_cast<i32>(syscall6(__NR_getpid));
  syscall6(__NR_ioctl, 0, kTIOCSPGRP, ptr(&group));
  setMask(0);
  i64 r = -kENOENT;
  for (u32 i = 0; i < count; i++) {
    const i64 tried = syscall6(__NR_execve, ptr(paths[i]), ptr(argv), ptr(envp));
    if (r == -kENOENT || tried != -kENOENT) r = tried;
    if (tried != -kENOENT && tried != -kENOTDIR && tried != -kEACCES) break;
  }
  exitNow(r == -kENOENT ? kNotFound : kCannotRun);
}

/** Takes in all that ended; the program's exit code, or -1 while it runs. */
int reap(i64 program) {
  int code = -1;
  for (;;) {
    i32 status = 0;
    const i64 pid = retry([&] { return syscall6(__NR_wait4, static_cast<u64>(i64{-1}), ptr(&status), WNOHANG | __WALL, 0); });
    if (pid <= 0) return code;
    const int signal = status & 0x7f;
    if (pid == program) code = signal == 0 ? (status >> 8) & 0xff : kSignalled + signal;
  }
}

}  // namespace

void runReaper(int argc, char** argv, char** envp) {
  const u32 count = argc > 1 ? number(argv[1]) : 0;
  if (count == 0 || static_cast<u32>(argc) < count + 3) exitNow(kNotFound);
  syscall6(__NR_prctl, PR_SET_NAME, ptr("ctr-init"));
  setMask(kPassedOn);
  // Not clone3, which filters for older programs hide.
  const i64 program = syscall6(__NR_clone, kSigChld);
  if (program == 0) runProgram(argv + 2, count, argv + 2 + count, envp);
  if (program < 0) exitNow(kCannotRun);
  for (;;) {
    const i64 signal = syscall6(__NR_rt_sigtimedwait, ptr(&kPassedOn), 0, 0, sizeof kPassedOn);
    if (signal == kSigChld) {
      if (const int code = reap(program); code >= 0) exitNow(code);
    } else if (signal > 0) {
      syscall6(__NR_kill, static_cast<u64>(program), static_cast<u64>(signal));
    }
  }
}

}  // namespace ctr
