// What libseccomp makes of a profile, for seccomp-oracle.test.ts. Reads lines, writes the BPF program to stdout:
//   default ACTION        hex value of SCMP_ACT_*; first line
//   arch TOKEN            hex SCMP_ARCH_*; the first one is the architecture, others are added
//   rule ACTION NAME [INDEX OP A B]…      OP is the number of enum scmp_compare; numbers are hex
// With the argument "unknown" it reads names instead and writes those that it does not know.
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what, int error) {
  fprintf(stderr, "%s: %s\n", what, strerror(-error));
  return 1;
}

static int rule(scmp_filter_ctx ctx, char *text) {
  struct scmp_arg_cmp args[6];
  unsigned count = 0;
  char *save = NULL;
  uint32_t action = (uint32_t)strtoul(strtok_r(text, " \n", &save), NULL, 16);
  const char *name = strtok_r(NULL, " \n", &save);
  char *word;
  while ((word = strtok_r(NULL, " \n", &save)) != NULL && count < 6) {
    args[count].arg = (unsigned)strtoul(word, NULL, 16);
    args[count].op = (enum scmp_compare)strtoul(strtok_r(NULL, " \n", &save), NULL, 16);
    args[count].datum_a = strtoull(strtok_r(NULL, " \n", &save), NULL, 16);
    args[count].datum_b = strtoull(strtok_r(NULL, " \n", &save), NULL, 16);
    count++;
  }
  int number = seccomp_syscall_resolve_name(name);
  if (number == __NR_SCMP_ERROR) return fail(name, -ENOENT);
  int r = seccomp_rule_add_array(ctx, action, number, count, args);
  return r == 0 ? 0 : fail(name, r);
}

static int unknown(void) {
  char name[128];
  while (scanf("%127s", name) == 1)
    if (seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR) puts(name);
  return 0;
}

int main(int argc, char **argv) {
  static char line[4096];
  scmp_filter_ctx ctx = NULL;
  int first = 1, r;
  if (argc > 1 && strcmp(argv[1], "unknown") == 0) return unknown();
  // All actions, whatever this kernel has: nothing is loaded.
  if ((r = seccomp_api_set(6)) != 0) return fail("seccomp_api_set", r);
  while (fgets(line, sizeof line, stdin)) {
    if (strncmp(line, "default ", 8) == 0) {
      ctx = seccomp_init((uint32_t)strtoul(line + 8, NULL, 16));
      if (ctx == NULL) return fail("seccomp_init", -EINVAL);
      if ((r = seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) != 0) return fail("badarch", r);
    } else if (strncmp(line, "arch ", 5) == 0) {
      uint32_t arch = (uint32_t)strtoul(line + 5, NULL, 16);
      if (first && arch != seccomp_arch_native()) {
        if ((r = seccomp_arch_add(ctx, arch)) != 0) return fail("arch", r);
        if ((r = seccomp_arch_remove(ctx, SCMP_ARCH_NATIVE)) != 0) return fail("arch", r);
      } else if (!first && (r = seccomp_arch_add(ctx, arch)) != 0)
        return fail("arch", r);
      first = 0;
    } else if (strncmp(line, "rule ", 5) == 0 && rule(ctx, line + 5) != 0)
      return 3;
  }
  r = seccomp_export_bpf(ctx, STDOUT_FILENO);
  return r == 0 ? 0 : fail("seccomp_export_bpf", r);
}
