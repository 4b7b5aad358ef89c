// spin SECONDS: computes for so long by the clock on the wall, then prints the processor time it got, as JSON in milliseconds.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  double wall = (argc > 1 ? atof(argv[1]) : 1) * 1e3;
  double start = now(CLOCK_MONOTONIC);
  volatile unsigned long work = 0;
  while (now(CLOCK_MONOTONIC) - start < wall)
    for (int i = 0; i < 10000; i++) work += (unsigned long)i;
  printf("{\"wallMs\":%.1f,\"cpuMs\":%.1f}\n", now(CLOCK_MONOTONIC) - start, now(CLOCK_PROCESS_CPUTIME_ID));
  return 0;
}
