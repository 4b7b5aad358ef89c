// What a container has and has not by default, as facts: paths, mounts, limits, devices.
// The reasons stand in docs/security.md; each list is the longest of the established engines'.
import type { OciDeviceRule, OciMount } from './types.js';

export const OCI_VERSION = '1.3.0';

export const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Where /proc and /sys tell about the host or its other tenants (CVE-2017-16539, CVE-2018-10892, PLATYPUS). dynamic_debug, since Linux 5.7,
 * switches the kernel's debug messages on and off, for everybody whose id is root's.
 */
export const MASKED_PATHS: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/dynamic_debug',
  '/proc/interrupts',
  '/proc/kallsyms',
  '/proc/kcore',
  '/proc/keys',
  '/proc/kpagecgroup',
  '/proc/kpagecount',
  '/proc/kpageflags',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/vmallocinfo',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  '/sys/fs/bpf',
  '/sys/fs/selinux',
  '/sys/kernel/debug',
  '/sys/kernel/security',
  '/sys/kernel/tracing',
];

/** Where writing would control the host. */
export const READONLY_PATHS: readonly string[] = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export const DEFAULT_PIDS = 1024;

/** Devices that only concern the process itself: null, zero, full, random, urandom, tty, ptmx and the container's own terminals. */
export const DEVICE_RULES: readonly OciDeviceRule[] = [
  { allow: false, access: 'rwm' },
  ...[
    [1, 3],
    [1, 5],
    [1, 7],
    [1, 8],
    [1, 9],
    [5, 0],
    [5, 2],
  ].map(([major, minor]): OciDeviceRule => ({ allow: true, type: 'c', major: major as number, minor: minor as number, access: 'rwm' })),
  { allow: true, type: 'c', major: 136, access: 'rwm' },
]; // prettier-ignore

const BOUND = Object.freeze(['rbind', 'rprivate', 'rnosuid', 'rnoexec', 'rnodev', 'rro']) as string[];
const HARMLESS = Object.freeze(['nosuid', 'noexec', 'nodev']) as string[];

export interface MountFacts {
  /** The network namespace is a new one: only then the kernel lets sysfs be mounted by its owner. */
  ownNetwork: boolean;
  /** There is a cgroup2 hierarchy, and the cgroup namespace is a new one: the container sees only its own part. */
  cgroup2: boolean;
  /** Group 5, the terminals' group, exists in the user namespace. */
  terminalGroup: boolean;
}

const made = new Map<string, readonly OciMount[]>();

/** The file systems that every container has: the same frozen objects each time. */
export function defaultMounts(facts: MountFacts): readonly OciMount[] {
  const key = `${facts.ownNetwork} ${facts.cgroup2} ${facts.terminalGroup}`;
  const known = made.get(key) ?? makeDefaultMounts(facts).map((mount) => Object.freeze(mount));
  made.set(key, known);
  return known;
}

function makeDefaultMounts(facts: MountFacts): OciMount[] {
  const pts = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', ...(facts.terminalGroup ? ['gid=5'] : [])];
  const sysfs: OciMount = { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...HARMLESS, 'ro'] };
  const boundSys: OciMount = { destination: '/sys', type: 'bind', source: '/sys', options: BOUND };
  const cgroup: OciMount = { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...HARMLESS, 'ro'] };
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: HARMLESS },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    { destination: '/dev/pts', type: 'devpts', source: 'devpts', options: pts },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...HARMLESS, 'mode=1777', 'size=65536k'] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: HARMLESS },
    facts.ownNetwork ? sysfs : boundSys,
    ...(facts.ownNetwork && facts.cgroup2 ? [cgroup] : []),
  ];
}
