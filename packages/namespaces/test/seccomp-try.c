// Loads a seccomp filter from a file (or "none") and then does one of:
//   results           as calls, but prints what it returned before the errno
//   calls             for each line "nr a0 a1 a2 a3 a4 a5" (hex) on stdin: makes the call and prints its errno, 0 for success
//   exec PROG ARGS…   becomes the program
//   int80 NR          makes an i386 call (x86-64 only) and prints what it returned
// Used by the tests of seccomp, to compare the kernel's verdicts with the simulated ones.
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static void load(const char *file) {
  static struct sock_filter code[4096];
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  ssize_t size = read(fd, code, sizeof code);
  close(fd);
  if (size < 0) exit(101);
  struct sock_fprog program = {(unsigned short)(size / (ssize_t)sizeof code[0]), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) exit(102);
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0) {
    perror("seccomp");
    exit(103);
  }
}

static void calls(int results) {
  char line[256];
  while (fgets(line, sizeof line, stdin)) {
    unsigned long v[7] = {0};
    char *at = line;
    for (int i = 0; i < 7; i++) v[i] = strtoul(at, &at, 16);
    errno = 0;
    long result = syscall((long)v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
    if (results) printf("%ld ", result);
    printf("%d\n", result == -1 ? errno : 0);
  }
}

static void int80(long number) {
#ifdef __x86_64__
  long result = number;
  __asm__ volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  printf("%d\n", (int)result);
#else
  (void)number;
#endif
}

int main(int argc, char **argv) {
  if (argc < 3) return 100;
  if (strcmp(argv[1], "none") != 0) load(argv[1]);
  if (strcmp(argv[2], "calls") == 0) calls(0);
  if (strcmp(argv[2], "results") == 0) calls(1);
  if (strcmp(argv[2], "int80") == 0 && argc == 4) int80(strtol(argv[3], NULL, 0));
  if (strcmp(argv[2], "exec") == 0 && argc > 3) {
    execv(argv[3], argv + 3);
    perror(argv[3]);
    return 104;
  }
  return fflush(stdout) == 0 ? 0 : 105;
}
