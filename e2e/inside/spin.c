// spin SECONDS: computes for so long by the clock on the wall, then prints the processor time it got, as JSON in milliseconds.
// It goes on until it has been held back once more, for half as long at most: the kernel sees on a tick that a quota is used up, later on a
// machine that is emulated, and takes what was too much from the next periods. After the wait the account is even.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  double limit = (argc > 1 ? atof(argv[1]) : 1) * 1e3;
  // What a launcher has used in this process before exec is not counted: runc's is a Go program.
  double start = now(CLOCK_MONOTONIC), before = now(CLOCK_PROCESS_CPUTIME_ID);
  double wall = 0, cpu = 0, held = 0;
  volatile unsigned long work = 0;
  while (wall < limit || (held < 5 && wall < limit * 1.5)) {
    for (int i = 0; i < 10000; i++) work += (unsigned long)i;
    double waited = wall - cpu;
    wall = now(CLOCK_MONOTONIC) - start;
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - before;
    held = wall - cpu - waited;
  }
  printf("{\"wallMs\":%.1f,\"cpuMs\":%.1f}\n", wall, cpu);
  return 0;
}
