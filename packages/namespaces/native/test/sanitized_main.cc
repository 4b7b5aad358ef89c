// ctr-init as a hosted program, for a build with AddressSanitizer and UBSan: all its sources but main.cc, which replaces the C
// library that the sanitizers need. Findings go to files, since the monitor's standard error is /dev/null.
#include <new>

#include "../init/monitor.h"

#define OPTIONS "log_path=" CTR_SANITIZER_LOG ":exitcode=99:detect_leaks=0:print_stacktrace=1"

extern "C" {
// The monitor has no environment that could say it (native/src/monitor_spawn.cc).
__attribute__((used)) const char* __asan_default_options() { return OPTIONS; }
__attribute__((used)) const char* __ubsan_default_options() { return OPTIONS; }
}

int main() {
  alignas(ctr::Monitor) static u8 memory[sizeof(ctr::Monitor)];
  auto* monitor = new (memory) ctr::Monitor{3, 4};
  monitor->run();
  ctr::exitNow(0);
}
