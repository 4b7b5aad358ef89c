// Says what the kernel says of the process that runs it: one fact a line, the same words under every runtime.
// Built static, so that it runs in an empty root.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

struct sched_facts {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

static void ids(void) {
  uid_t r, e, s;
  gid_t a, b, c;
  getresuid(&r, &e, &s);
  getresgid(&a, &b, &c);
  printf("uid %u %u %u\ngid %u %u %u\ngroups", r, e, s, a, b, c);
  gid_t groups[1024];
  const int n = getgroups(1024, groups);
  for (int i = 0; i < n; i++) printf(" %u", groups[i]);
  const mode_t mask = umask(0);
  umask(mask);
  printf("\numask %03o\n", mask);
}

static void capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{0, 0, 0}, {0, 0, 0}};
  syscall(SYS_capget, &header, data);
  uint64_t bounding = 0, ambient = 0;
  for (int i = 0; i <= 63; i++) {
    if (prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1) bounding |= 1ull << i;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, i, 0, 0) == 1) ambient |= 1ull << i;
  }
  printf("effective %08x%08x\npermitted %08x%08x\ninheritable %08x%08x\n", data[1].effective, data[0].effective, data[1].permitted, data[0].permitted,
         data[1].inheritable, data[0].inheritable);
  printf("bounding %016llx\nambient %016llx\n", (unsigned long long)bounding, (unsigned long long)ambient);
  printf("no_new_privs %d\n", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void limits(void) {
  static const char *const names[] = {"cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
                                      "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime"};
  for (int i = 0; i < 16; i++) {
    struct rlimit64 l;
    if (prlimit64(0, i, NULL, &l) == 0) printf("limit.%s %lld %lld\n", names[i], (long long)l.rlim_cur, (long long)l.rlim_max);
  }
  FILE *f = fopen("/proc/self/oom_score_adj", "r");
  int adj;
  if (f && fscanf(f, "%d", &adj) == 1) printf("oom_score_adj %d\n", adj);
  if (f) fclose(f);
}

static void scheduling(void) {
  struct sched_facts a = {0};
  syscall(SYS_sched_getattr, 0, &a, sizeof a, 0);
  printf("scheduler %u flags %llu nice %d priority %u times %llu %llu %llu\n", a.policy, (unsigned long long)a.flags, a.nice, a.priority,
         (unsigned long long)a.runtime, (unsigned long long)a.deadline, (unsigned long long)a.period);
  printf("nice %d\n", getpriority(PRIO_PROCESS, 0));
  const long io = syscall(SYS_ioprio_get, 1, 0);
  printf("ioprio %ld %ld\n", io >> 13, io & 7);
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  printf("affinity");
  for (int i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &set)) printf(" %d", i);
  int mode = -1;
  unsigned long nodes[16] = {0};
  syscall(SYS_get_mempolicy, &mode, nodes, 1024, NULL, 0);
  printf("\nmemory_policy %d %lx\n", mode, nodes[0]);
}

static void others(void) {
  printf("personality %x\n", personality(0xffffffff));
  struct utsname u;
  uname(&u);
  printf("machine %s\nhostname %s\ndomainname %s\n", u.machine, u.nodename, u.domainname);
  printf("keyring %ld\n", syscall(SYS_keyctl, 0, -3, 0));
  int signal = 0;
  prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0);
  printf("pdeathsig %d\n", signal);
  printf("dumpable %d\n", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
  printf("seccomp %d\n", prctl(PR_GET_SECCOMP, 0, 0, 0, 0));
  char cwd[4096];
  printf("cwd %s\n", getcwd(cwd, sizeof cwd) ? cwd : strerror(errno));
  struct winsize w = {0, 0, 0, 0};
  if (isatty(0) && ioctl(0, TIOCGWINSZ, &w) == 0) printf("tty %dx%d leader %d foreground %d\n", w.ws_col, w.ws_row, getsid(0) == getpid(), tcgetpgrp(0) == getpid());
  else printf("tty none\n");
  const char *notify = getenv("NOTIFY_SOCKET");
  printf("notify %s\n", notify ? notify : "none");
  printf("fds");
  for (int fd = 0; fd < 4096; fd++)
    if (fcntl(fd, F_GETFD) >= 0) printf(" %d", fd);
  printf("\n");
}

int main(void) {
  ids();
  capabilities();
  others();
  limits();
  scheduling();
  return 0;
}
