// Parents of each kind of host, for tests: what openParent would have found, without touching anything.
import type { CgroupHost, ControllerPlace } from '../host/detect.js';
import { CgroupParent, type ParentHierarchy } from '../parent/parent.js';

const place = (version: 1 | 2, directory: string, writable = true): ControllerPlace => ({
  version,
  directory,
  parentDirectory: directory,
  writable,
  ...(writable ? {} : { reason: `${directory} is not writable by this user (EACCES)` }),
});

const V1_FILES = [
  'tasks',
  'cpu.cfs_quota_us',
  'cpu.shares',
  'cpu.stat',
  'memory.soft_limit_in_bytes',
  'cpuacct.usage',
  'memory.limit_in_bytes',
  'memory.memsw.limit_in_bytes',
  'memory.oom_control',
  'memory.max_usage_in_bytes',
  'pids.max',
  'pids.events',
  'pids.peak',
]; // prettier-ignore
const V2_FILES = [
  'cgroup.kill',
  'cpu.max',
  'cpu.weight',
  'cpu.stat',
  'memory.max',
  'memory.swap.max',
  'memory.high',
  'memory.min',
  'memory.low',
  'memory.oom.group',
  'memory.events',
  'memory.peak',
  'pids.max',
  'pids.events',
]; // prettier-ignore

const hierarchy = (version: 1 | 2, base: string, controllers: string[]): ParentHierarchy => ({
  version,
  controllers,
  directory: `${base}/p`,
  ...(controllers.includes('devices') ? { defaultDevices: `${base}/p/_default-devices` } : {}),
  files: new Set(version === 1 ? V1_FILES : V2_FILES),
});

function parent(
  mode: CgroupHost['mode'],
  controllers: CgroupHost['controllers'],
  hierarchies: ParentHierarchy[],
  refused: Readonly<Record<string, string>> = {},
): CgroupParent {
  const unusable = Object.entries(controllers).flatMap(([n, c]) => (c.reason ? [[n, c.reason]] : []));
  const missing = { ...Object.fromEntries(unusable), ...refused };
  const set = new Set([0, 1]);
  return new CgroupParent({ name: 'p', host: { mode, controllers, unified: null }, hierarchies, missing, cpus: set, mems: new Set([0]) });
}

/** v1: cpu and cpuacct in one directory, memory, pids and devices alone; cgroup2 beside them. */
export function hybridParent(): CgroupParent {
  const names = ['cpu', 'cpuacct', 'memory', 'devices', 'pids'];
  const hierarchies = [
    hierarchy(1, '/cg/cpu', ['cpu', 'cpuacct']),
    hierarchy(1, '/cg/memory/own', ['memory']),
    hierarchy(1, '/cg/devices', ['devices']),
    hierarchy(1, '/cg/pids', ['pids']),
    hierarchy(2, '/cg/unified', []),
  ];
  return parent('hybrid', Object.fromEntries(names.map((n) => [n, place(1, `/cg/${n}`)])), hierarchies);
}

/** cgroup2 with controllers; `refused` is what openParent() tried in vain. */
export function unifiedParent(refused: Readonly<Record<string, string>> = {}): CgroupParent {
  const names = ['cpu', 'memory', 'pids', 'cpuset'];
  return parent('unified', Object.fromEntries(names.map((n) => [n, place(2, '/cg')])), [hierarchy(2, '/cg', names)], refused);
}

/** An ordinary user on a v1 host: everything is there, nothing may be written. */
export function lockedParent(): CgroupParent {
  return parent('legacy', { memory: place(1, '/cg/memory', false), devices: place(1, '/cg/devices', false) }, []);
}
