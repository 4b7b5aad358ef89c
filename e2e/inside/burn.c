// Burns processor time with many threads, in the ways that cost a kernel most. argv: SECONDS THREADS KIND. Prints as JSON how much
// time it had. KIND: compute, calls (system calls without end) or faults (pages touched and given back).
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int stop;
static const char *kind;

static void *burn(void *unused) {
  (void)unused;
  char *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (volatile unsigned n = 0; !stop; n++) {
    if (*kind != 'f' && n % 64 == 0 && *kind == 'c' && kind[1] == 'a') syscall(SYS_getppid);
    if (*kind == 'f' && page != MAP_FAILED) {
      for (int i = 0; i < 65536; i += 4096) page[i] = 1;
      madvise(page, 65536, MADV_DONTNEED);
    }
  }
  return NULL;
}

static double ms(struct timespec t) { return t.tv_sec * 1e3 + t.tv_nsec / 1e6; }

int main(int argc, char **argv) {
  if (argc < 4) return 2;
  kind = argv[3];
  int threads = atoi(argv[2]), made = 0;
  struct timespec from, to;
  clock_gettime(CLOCK_MONOTONIC, &from);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_t thread;
  while (made < threads && pthread_create(&thread, &small, burn, NULL) == 0) made++;
  sleep((unsigned)atoi(argv[1]));
  clock_gettime(CLOCK_MONOTONIC, &to);
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  double cpu = (used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e3 + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e3;
  printf("{\"threads\":%d,\"wallMs\":%.0f,\"cpuMs\":%.0f}\n", made, ms(to) - ms(from), cpu);
  fflush(stdout);
  _exit(0);
}
