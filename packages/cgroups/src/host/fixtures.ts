// What /proc/self/mountinfo and /proc/self/cgroup say on hosts of each kind, for tests.

/** One host: the two texts. */
export interface HostTexts {
  readonly mountinfo: string;
  readonly cgroup: string;
}

const text = (lines: TemplateStringsArray): string => `${lines.join('').trim()}\n`;

/** systemd, cgroup2 alone, a session scope. */
export const UNIFIED: HostTexts = {
  mountinfo: text`
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
29 24 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot`,
  cgroup: text`0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-r1.scope`,
};

/** v1 controllers each on its own, cgroup2 beside them without controllers. */
export const HYBRID: HostTexts = {
  mountinfo: text`
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw`,
  cgroup: text`
9:name=systemd:/
4:memory:/app/65a8
2:cpuacct:/
1:cpu:/
0::/`,
};

/** systemd before cgroup2: controllers that share a mount, and a named hierarchy. */
export const LEGACY: HostTexts = {
  mountinfo: text`
25 18 0:22 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:10 - cgroup cgroup rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd
29 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:13 - cgroup cgroup rw,cpu,cpuacct
30 25 0:27 / /sys/fs/cgroup/net_cls,net_prio rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,net_cls,net_prio`,
  cgroup: text`
4:cpu,cpuacct:/system.slice/app.service
3:net_cls,net_prio:/
2:freezer:/
1:name=systemd:/system.slice/app.service`,
};

/** In a v1 Docker container without a cgroup namespace: the mount shows only a part, read-only; a second one is writable. */
export const NESTED: HostTexts = {
  mountinfo: text`
901 900 0:29 /docker/ab12 /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:15 - cgroup memory rw,memory
902 900 0:30 /docker/ab12 /sys/fs/cgroup/pids ro,nosuid,nodev,noexec,relatime master:16 - cgroup pids rw,pids
903 900 0:30 /docker/ab12 /mnt/my\\040pids rw,relatime master:16 - cgroup pids rw,pids
904 900 0:31 /docker/other /sys/fs/cgroup/cpu ro,relatime - cgroup cpu rw,cpu
905 900 0:32 /../.. /sys/fs/cgroup/freezer ro,relatime - cgroup freezer rw,freezer`,
  cgroup: text`
5:memory:/docker/ab12/web:1
4:pids:/docker/ab12
3:cpu:/docker/ab12
2:freezer:/
1:blkio:/docker/gone (deleted)`,
};

/** In a container with a cgroup namespace: our cgroup is the root of what is seen. */
export const NAMESPACED: HostTexts = {
  mountinfo: text`1209 1203 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate`,
  cgroup: text`0::/`,
};

/** A kernel with cgroups that nobody mounted. */
export const NONE: HostTexts = { mountinfo: text`22 1 8:1 / / rw - ext4 /dev/sda1 rw`, cgroup: text`0::/` };
