// Takes as much as it can get of one kind of resource, up to a bound, and prints as JSON how much that was and what stopped it.
// argv: KIND BOUND. What it took it holds until it ends.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static char megabyte[1 << 20];

static int write_all(int fd, size_t size) {
  while (size > 0) {
    ssize_t n = write(fd, megabyte, size > sizeof megabyte ? sizeof megabyte : size);
    if (n <= 0) return -1;
    size -= (size_t)n;
  }
  return 0;
}

static int grow(const char *path) {
  static int fd = -1;
  if (fd < 0) fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  return fd < 0 ? -1 : write_all(fd, sizeof megabyte);
}

// One more of the kind; -1 with errno when there is none to be had. The unit is a mebibyte, or one.
static int more(const char *kind, int i) {
  char name[64];
  if (!strcmp(kind, "anonymous") || !strcmp(kind, "locked")) {
    char *m = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (*kind == 'l' ? MAP_LOCKED : 0), -1, 0);
    if (m == MAP_FAILED) return -1;
    memset(m, i + 1, 1 << 20);
    return 0;
  }
  if (!strcmp(kind, "shm")) return grow("/dev/shm/file");
  if (!strcmp(kind, "tmpfs")) return grow("/mnt/file");
  if (!strcmp(kind, "layer")) return grow("/root/file");
  if (!strcmp(kind, "memfd")) {
    static int fd = -1;
    if (fd < 0) fd = memfd_create("bomb", MFD_CLOEXEC);
    return fd < 0 ? -1 : write_all(fd, sizeof megabyte);
  }
  if (!strcmp(kind, "pipes")) {
    int p[2];
    if (pipe2(p, O_NONBLOCK | O_CLOEXEC)) return -1;
    fcntl(p[1], F_SETPIPE_SZ, 1 << 20);
    while (write(p[1], megabyte, 65536) > 0) {
    }
    return 0;
  }
  if (!strcmp(kind, "sockets")) {
    int p[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p)) return -1;
    while (write(p[0], megabyte, 65536) > 0) {
    }
    return 0;
  }
  if (!strcmp(kind, "names")) {
    snprintf(name, sizeof name, "/dev/shm/%d", i);
    return mkdir(name, 0700);
  }
  if (!strcmp(kind, "sysvshm")) {
    int id = shmget(IPC_PRIVATE, 1 << 20, IPC_CREAT | 0600);
    void *at = id < 0 ? (void *)-1 : shmat(id, NULL, 0);
    if (at == (void *)-1) return -1;
    memset(at, 1, 1 << 20);
    return 0;
  }
  if (!strcmp(kind, "descriptors")) return open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (!strcmp(kind, "inotify")) return inotify_init1(IN_CLOEXEC);
  if (!strcmp(kind, "epoll")) return epoll_create1(EPOLL_CLOEXEC);
  if (!strcmp(kind, "timers")) return timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  if (!strcmp(kind, "posix-timers")) {
    timer_t t;
    return timer_create(CLOCK_MONOTONIC, NULL, &t);
  }
  if (!strcmp(kind, "shmids")) return shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
  if (!strcmp(kind, "semaphores")) return semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
  if (!strcmp(kind, "queues")) {
    snprintf(name, sizeof name, "/bomb-%d", i);
    return mq_open(name, O_CREAT | O_RDWR, 0600, NULL);
  }
  if (!strcmp(kind, "terminals")) return open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (!strcmp(kind, "signals")) return sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i});
  errno = EINVAL;
  return -1;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  int bound = atoi(argv[2]), taken = 0, error = 0;
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGRTMIN + 1);
  sigprocmask(SIG_BLOCK, &set, NULL);
  // The soft limit is no wall: whoever wants more raises it to the hard one.
  struct rlimit files;
  if (argc > 3 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  while (taken < bound && more(argv[1], taken) >= 0) taken++;
  if (taken < bound) error = errno;
  printf("{\"taken\":%d,\"error\":\"%s\"}\n", taken, error ? strerrorname_np(error) : "");
  fflush(stdout);
  return 0;
}
