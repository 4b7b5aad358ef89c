// forkloop LIMIT: makes children that wait until one fork fails or LIMIT are there; prints how many and the errno's name.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv) {
  int limit = argc > 1 ? atoi(argv[1]) : 1000;
  int made = 0;
  pid_t *children = calloc((size_t)limit, sizeof *children);
  const char *why = "none";
  while (made < limit) {
    pid_t pid = fork();
    if (pid < 0) {
      why = strerrorname_np(errno);
      break;
    }
    if (pid == 0) {
      pause();
      _exit(0);
    }
    children[made++] = pid;
  }
  printf("{\"made\":%d,\"error\":\"%s\"}\n", made, why);
  fflush(stdout);
  for (int i = 0; i < made; i++) kill(children[i], SIGKILL);
  while (wait(NULL) > 0) {
  }
  return 0;
}
