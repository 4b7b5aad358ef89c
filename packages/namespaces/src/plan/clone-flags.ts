// Namespace kinds and the clone3(2) flags that make them <https://man7.org/linux/man-pages/man2/clone.2.html>.

/** The eight kinds of namespaces. */
export type NamespaceKind = 'pid' | 'mount' | 'network' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time';

export const NAMESPACE_KINDS: readonly NamespaceKind[] = ['user', 'mount', 'pid', 'network', 'ipc', 'uts', 'cgroup', 'time'];

export const CLONE_FLAGS: Readonly<Record<string, number>> = {
  CLONE_NEWTIME: 0x80,
  CLONE_NEWNS: 0x20000,
  CLONE_NEWCGROUP: 0x2000000,
  CLONE_NEWUTS: 0x4000000,
  CLONE_NEWIPC: 0x8000000,
  CLONE_NEWUSER: 0x10000000,
  CLONE_NEWPID: 0x20000000,
  CLONE_NEWNET: 0x40000000,
};

export const CLONE_FLAG_OF: Readonly<Record<NamespaceKind, string>> = {
  pid: 'CLONE_NEWPID',
  mount: 'CLONE_NEWNS',
  network: 'CLONE_NEWNET',
  ipc: 'CLONE_NEWIPC',
  uts: 'CLONE_NEWUTS',
  user: 'CLONE_NEWUSER',
  cgroup: 'CLONE_NEWCGROUP',
  time: 'CLONE_NEWTIME',
};

/** The file below /proc/<pid>/ns of each kind. */
export const NAMESPACE_FILE: Readonly<Record<NamespaceKind, string>> = {
  pid: 'pid',
  mount: 'mnt',
  network: 'net',
  ipc: 'ipc',
  uts: 'uts',
  user: 'user',
  cgroup: 'cgroup',
  time: 'time',
};
