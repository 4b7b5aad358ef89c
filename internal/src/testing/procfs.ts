// Reads what tests want to know of /proc and the control groups, synchronously: probes run while tests are collected.
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import path from 'node:path';

export interface ProcessFacts {
  pid: number;
  ppid: number;
  comm: string;
  /** R, S, D, Z … */
  state: string;
}

const read = (file: string): string => {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
};

/** Every process that /proc shows, zombies included. */
export function processes(): ProcessFacts[] {
  const all: ProcessFacts[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // comm may hold spaces and parentheses: it ends at the last one.
    const m = /^(\d+) \(([\s\S]*)\) (\S) (\d+)/.exec(read(`/proc/${name}/stat`));
    if (m) all.push({ pid: Number(m[1]), comm: m[2] ?? '', state: m[3] ?? '?', ppid: Number(m[4]) });
  }
  return all;
}

/** The processes below `root` in the tree of parents, without it. */
export function descendants(root: number, all = processes()): ProcessFacts[] {
  const found = new Set([root]);
  const out: ProcessFacts[] = [];
  for (let grew = true; grew; ) {
    grew = false;
    for (const p of all) {
      if (found.has(p.pid) || !found.has(p.ppid)) continue;
      found.add(p.pid);
      out.push(p);
      grew = true;
    }
  }
  return out;
}

/** Mount points of this mount namespace as `id point fstype`. */
export function mounts(): string[] {
  return read('/proc/self/mountinfo')
    .trimEnd()
    .split('\n')
    .map((l) => `${l.split(' ')[0]} ${l.split(' ')[4]} ${l.split(' - ')[1]?.split(' ')[0]}`);
}

/** Open descriptors of a process: number to target. */
export function descriptors(pid: number | 'self' = 'self'): Map<number, string> {
  const open = new Map<number, string>();
  for (const fd of readdirSync(`/proc/${pid}/fd`)) {
    try {
      open.set(Number(fd), readlinkSync(`/proc/${pid}/fd/${fd}`));
    } catch {
      // the descriptor that read the directory is gone by now
    }
  }
  return open;
}

export interface OwnCgroup {
  version: 1 | 2;
  /** v1: the controllers of this hierarchy ('cpu', 'name=systemd'); v2: those of cgroup.controllers. */
  controllers: string[];
  mountPoint: string;
  /** The directory of the cgroup that this process is in. */
  directory: string;
}

/** The cgroups this process is in, one for each hierarchy that is mounted. */
export function ownCgroups(): OwnCgroup[] {
  const own = new Map<string, string>();
  for (const line of read('/proc/self/cgroup').trimEnd().split('\n')) {
    const [, controllers = '', ...rest] = line.split(':');
    own.set(controllers, rest.join(':'));
  }
  const out: OwnCgroup[] = [];
  for (const line of read('/proc/self/mountinfo').trimEnd().split('\n')) {
    const [left = '', right = ''] = line.split(' - ');
    const [, , , root = '/', mountPoint = ''] = left.split(' ');
    const [type, , options = ''] = right.split(' ');
    const key =
      type === 'cgroup2' ? '' : [...own.keys()].find((k) => k !== '' && k.split(',').every((c) => options.split(',').includes(c)));
    if ((type !== 'cgroup' && type !== 'cgroup2') || key === undefined) continue;
    const inside = own.get(key);
    if (inside === undefined) continue;
    const directory = path.join(mountPoint, path.relative(root, inside));
    const controllers =
      type === 'cgroup2' ? read(path.join(directory, 'cgroup.controllers')).trim().split(' ').filter(Boolean) : key.split(',');
    out.push({ version: type === 'cgroup2' ? 2 : 1, controllers, mountPoint, directory });
  }
  return out;
}
