// hog MEGABYTES [SECONDS]: takes memory and touches every page, says so, waits, and ends with 0.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
  size_t megabytes = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
  for (size_t i = 0; i < megabytes; i++) {
    char *block = malloc(1 << 20);
    if (block == NULL) return 3;
    memset(block, 1 + (int)(i & 63), 1 << 20);
  }
  printf("touched %zu MiB\n", megabytes);
  fflush(stdout);
  if (argc > 2) sleep((unsigned)atoi(argv[2]));
  return 0;
}
