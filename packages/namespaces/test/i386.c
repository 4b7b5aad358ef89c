// A program of 32 bits without a C library: makes the system call whose number is its argument, without arguments of its own, and
// ends with the errno, 0 for success. Built with -m32 -nostdlib -static, so that it needs nothing of the host but a compiler.

static int call(int nr, int a) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(nr), "b"(a), "c"(0), "d"(0) : "memory");
  return result;
}

__attribute__((used)) void run(const int *stack) {
  const char *text = (const char *)stack[2];
  int nr = 0;
  while (stack[0] > 1 && *text) nr = nr * 10 + (*text++ - '0');
  const int result = call(nr, 0);
  call(1 /* exit */, result < 0 ? -result : 0);
  __builtin_trap();
}

// At the entry the stack holds argc and argv (elf(5)).
__asm__(".globl _start\n_start: mov %esp, %eax\n push %eax\n call run\n");
