// ctr-init as a hosted program, for a build with AddressSanitizer and UBSan: all its sources but main.cc, which replaces the C
// library that the sanitizers need. Findings go to files, since the monitor's standard error is /dev/null.
#include <new>

#include "../init/monitor.h"

#define OPTIONS "log_path=" CTR_SANITIZER_LOG ":exitcode=99:detect_leaks=0:print_stacktrace=1"

extern "C" {
// The monitor has no environment that could say it (native/src/monitor_spawn.cc).
__attribute__((used)) const char* __asan_default_options() { return OPTIONS; }
__attribute__((used)) const char* __ubsan_default_options() { return OPTIONS; }
// Called before what never returns, to forget the frames of the main stack. A child ends on a stack of its own, which the runtime
// does not know: it would warn, and end the child where the warning cannot be written.
void __asan_handle_no_return() {}
}

int main() {
  // For the test to see that it was this program.
  const ctr::OwnedFd mark{ctr::syscall6(__NR_openat, static_cast<u64>(AT_FDCWD), ctr::ptr(CTR_SANITIZER_LOG "-ran"), O_CREAT | O_WRONLY | O_CLOEXEC, 0666)};
  alignas(ctr::Monitor) static u8 memory[sizeof(ctr::Monitor)];
  auto* monitor = new (memory) ctr::Monitor{3, 4};
  monitor->run();
  ctr::exitNow(0);
}
