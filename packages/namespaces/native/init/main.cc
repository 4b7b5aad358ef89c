// ctr-init: started once by the addon from a sealed memfd with the control socket on 3 and the lifeline on 4, over which orders come too.
// Static, without a C library, one thread: everything it can do is in this folder.
#include <new>

#include "monitor.h"
#include "reaper.h"

// The compiler may call these for copies and fills of its own (GCC manual, -ffreestanding).
extern "C" {
void* memcpy(void* to, const void* from, std::size_t n) {
  auto* t = static_cast<u8*>(to);
  const auto* f = static_cast<const u8*>(from);
  for (std::size_t i = 0; i < n; i++) t[i] = f[i];
  return to;
}
void* memset(void* to, int value, std::size_t n) {
  auto* t = static_cast<u8*>(to);
  for (std::size_t i = 0; i < n; i++) t[i] = static_cast<u8>(value);
  return to;
}
std::size_t strlen(const char* s) {
  std::size_t n = 0;
  while (s[n] != 0) n++;
  return n;
}

/** `stack` is what the kernel begins a program with: argc, argv, a null, envp. */
[[noreturn]] void ctrMain(char** stack) {
  const int argc = static_cast<int>(reinterpret_cast<u64>(stack[0]));
  // The monitor has a name only; with more it is the first process of a container.
  if (argc > 1) ctr::runReaper(argc, stack + 1, stack + 2 + argc);
  // Not on the stack, since it is large; never destroyed, since the process ends here.
  alignas(ctr::Monitor) static u8 memory[sizeof(ctr::Monitor)];
  auto* monitor = new (memory) ctr::Monitor{3, 4};
  monitor->run();
  ctr::exitNow(0);
}

// The kernel starts here with the stack aligned to 16 and no return address.
#if defined(__x86_64__)
asm(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tcall ctrMain\n\tud2\n");
#else
asm(".globl _start\n_start:\n\tmov x29, xzr\n\tmov x0, sp\n\tbl ctrMain\n\tbrk 1\n");
#endif
}
