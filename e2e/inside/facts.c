// Prints as JSON what a process can see of itself and of its container: the tests compare this with what was asked for.
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

extern char **environ;

static void string(const char *s) {
  putchar('"');
  for (; *s; s++) {
    unsigned char c = (unsigned char)*s;
    if (c == '"' || c == '\\') printf("\\%c", c);
    else if (c < 32) printf("\\u%04x", c);
    else putchar(c);
  }
  putchar('"');
}

static void key(const char *name) {
  static int more = 0;
  if (more++) printf(",\n");
  string(name);
  putchar(':');
}

static void link_of(const char *path) {
  char target[4096];
  ssize_t n = readlink(path, target, sizeof target - 1);
  target[n < 0 ? 0 : n] = '\0';
  string(target);
}

// "Name:\tvalue" lines of /proc/self/status that tests look at.
static void status(void) {
  static const char *const wanted[] = {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Threads", "NSpid", "Umask"};
  char line[4096];
  FILE *f = fopen("/proc/self/status", "re");
  int more = 0;
  key("status");
  putchar('{');
  while (f && fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (!colon) continue;
    *colon = '\0';
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
      if (strcmp(wanted[i], line)) continue;
      char *value = colon + 1;
      while (isspace((unsigned char)*value)) value++;
      value[strcspn(value, "\n")] = '\0';
      printf("%s\"%s\":", more++ ? "," : "", line);
      string(value);
    }
  }
  if (f) fclose(f);
  putchar('}');
}

// Each file's lines as an array of strings.
static void lines(const char *name, const char *path) {
  char line[8192];
  FILE *f = fopen(path, "re");
  int more = 0;
  key(name);
  putchar('[');
  while (f && fgets(line, sizeof line, f)) {
    line[strcspn(line, "\n")] = '\0';
    if (more++) putchar(',');
    string(line);
  }
  if (f) fclose(f);
  putchar(']');
}

// A directory's names, or the targets of its links.
static void directory(const char *name, const char *path, int targets) {
  DIR *d = opendir(path);
  struct dirent *e;
  int more = 0;
  key(name);
  putchar(targets ? '{' : '[');
  while (d && (e = readdir(d))) {
    if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..")) continue;
    if (targets && atoi(e->d_name) == dirfd(d) && !strcmp(path, "/proc/self/fd")) continue;
    if (more++) putchar(',');
    string(e->d_name);
    if (targets) {
      char full[512];
      snprintf(full, sizeof full, "%s/%s", path, e->d_name);
      putchar(':');
      link_of(full);
    }
  }
  if (d) closedir(d);
  putchar(targets ? '}' : ']');
}

static void limits(void) {
  static const struct {
    const char *name;
    int id;
  } all[] = {{"nofile", RLIMIT_NOFILE}, {"core", RLIMIT_CORE}, {"nproc", RLIMIT_NPROC}, {"stack", RLIMIT_STACK}, {"memlock", RLIMIT_MEMLOCK}};
  key("rlimits");
  putchar('{');
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct rlimit r = {0, 0};
    getrlimit(all[i].id, &r);
    printf("%s\"%s\":{\"soft\":%lld,\"hard\":%lld}", i ? "," : "", all[i].name, (long long)r.rlim_cur, (long long)r.rlim_max);
  }
  putchar('}');
}

static void strings(const char *name, char **list) {
  key(name);
  putchar('[');
  for (int i = 0; list[i]; i++) {
    if (i) putchar(',');
    string(list[i]);
  }
  putchar(']');
}

static void ids(void) {
  gid_t groups[256];
  uid_t real, effective, saved;
  int n = getgroups(256, groups);
  getresuid(&real, &effective, &saved);
  key("uid"), printf("%u", (unsigned)effective);
  key("savedUid"), printf("%u", (unsigned)saved);
  key("gid"), printf("%u", (unsigned)getegid());
  key("groups"), putchar('[');
  for (int i = 0; i < n; i++) printf("%s%u", i ? "," : "", (unsigned)groups[i]);
  putchar(']');
}

static void signals(void) {
  int more = 0;
  key("ignoredSignals");
  putchar('[');
  for (int s = 1; s < 32; s++) {
    struct sigaction action;
    if (sigaction(s, NULL, &action) == 0 && action.sa_handler == SIG_IGN) printf("%s%d", more++ ? "," : "", s);
  }
  putchar(']');
}

int main(int argc, char **argv) {
  struct utsname uts;
  char cwd[4096];
  (void)argc;
  putchar('{');
  key("pid"), printf("%d", getpid());
  key("ppid"), printf("%d", getppid());
  key("sid"), printf("%d", getsid(0));
  ids();
  uname(&uts);
  key("hostname"), string(uts.nodename);
  key("domainname"), string(uts.domainname);
  key("cwd"), string(getcwd(cwd, sizeof cwd) ? cwd : "");
  key("parentDeathSignal");
  int death = 0;
  prctl(PR_GET_PDEATHSIG, &death);
  printf("%d", death);
  strings("argv", argv);
  strings("env", environ);
  status();
  limits();
  signals();
  directory("namespaces", "/proc/self/ns", 1);
  directory("descriptors", "/proc/self/fd", 1);
  directory("root", "/", 0);
  directory("dev", "/dev", 0);
  directory("links", "/sys/class/net", 0);
  directory("processes", "/proc", 0);
  lines("mounts", "/proc/self/mountinfo");
  lines("uidMap", "/proc/self/uid_map");
  lines("cgroups", "/proc/self/cgroup");
  key("exe"), link_of("/proc/self/exe");
  puts("}");
  return 0;
}
