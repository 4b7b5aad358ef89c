// Starts other runtimes for the benchmark: vfork and exec from a tiny process, the kindest way there is, so that no peer pays for Node.
// Reads requests "ARGC\0GAP_US\0FD_FILE\0MNT_NS\0arg\0arg\0…" from stdin; after the gap runs the program, whose standard output is the number
// of CLOCK_MONOTONIC nanoseconds that e2e/inside/true.c prints; answers with one line "REQUEST STAMP REAPED STATUS".
// FD_FILE is opened as descriptor 10 for the program (bwrap reads its seccomp filter from a descriptor); MNT_NS is a mount namespace
// to start it in (crun refuses to see hybrid control groups), which costs 4 us; empty for none.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_ARGS = 512, FILE_FD = 10 };

static long long now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (long long)t.tv_sec * 1000000000LL + t.tv_nsec;
}

static char *word(void) {
  char *line = NULL;
  size_t size = 0;
  if (getdelim(&line, &size, 0, stdin) < 0) exit(0);
  return line;
}

static long long stamp(int fd) {
  char text[4096];
  size_t got = 0;
  for (;;) {
    ssize_t n = read(fd, text + got, sizeof text - 1 - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    got += (size_t)n;
  }
  text[got] = '\0';
  return atoll(text);
}

static __attribute__((noinline)) pid_t start(char **args, int output, int input, int space) {
  pid_t pid = vfork();
  if (pid != 0) return pid;
  if (space >= 0 && setns(space, CLONE_NEWNS) < 0) _exit(126);
  dup2(output, 1);
  if (input >= 0) dup2(input, FILE_FD);
  execv(args[0], args);
  _exit(127);
}

int main(void) {
  for (;;) {
    int argc = atoi(word());
    long gap = atol(word());
    char *file = word();
    char *space_file = word();
    char *args[MAX_ARGS + 1];
    if (argc < 1 || argc > MAX_ARGS) return 2;
    for (int i = 0; i < argc; i++) args[i] = word();
    args[argc] = NULL;

    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0) return 3;
    int input = *file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    int space = *space_file ? open(space_file, O_RDONLY | O_CLOEXEC) : -1;
    struct timespec idle = {gap / 1000000, gap % 1000000 * 1000};
    nanosleep(&idle, NULL);

    int status = 0;
    long long requested = now();
    pid_t pid = start(args, out[1], input, space);
    close(out[1]);
    if (input >= 0) close(input);
    if (space >= 0) close(space);
    long long stamped = stamp(out[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    long long reaped = now();
    close(out[0]);
    printf("%lld %lld %lld %d\n", requested, stamped, reaped, status);
    fflush(stdout);
    for (int i = 0; i < argc; i++) free(args[i]);
    free(file);
    free(space_file);
  }
}
