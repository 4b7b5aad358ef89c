// The smallest program: prints CLOCK_MONOTONIC in nanoseconds and ends. No libc, since glibc's start-up costs more than a container.
// cc -Os -static -nostdlib -fno-stack-protector -s
struct timespec64 {
  long long seconds;
  long long nanoseconds;
};

static long call(long number, long a, long b, long c) {
  long result;
#if defined(__x86_64__)
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  result = x0;
#endif
  return result;
}

#if defined(__x86_64__)
enum { WRITE = 1, CLOCK_GETTIME = 228, EXIT_GROUP = 231 };
#else
enum { WRITE = 64, CLOCK_GETTIME = 113, EXIT_GROUP = 94 };
#endif

void _start(void) {
  struct timespec64 now;
  char text[24];
  int at = sizeof text;
  call(CLOCK_GETTIME, 1, (long)&now, 0);
  unsigned long long ns = (unsigned long long)now.seconds * 1000000000ULL + (unsigned long long)now.nanoseconds;
  text[--at] = '\n';
  do text[--at] = (char)('0' + ns % 10);
  while ((ns /= 10) > 0);
  call(WRITE, 1, (long)(text + at), (long)sizeof text - at);
  for (;;) call(EXIT_GROUP, 0, 0, 0);
}
