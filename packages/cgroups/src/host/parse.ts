// Pure parsing of /proc/self/mountinfo and /proc/self/cgroup: which hierarchy is mounted where, and which of its
// directories is our own. Nothing is assumed of /sys/fs/cgroup.

/** One hierarchy that this process is in. */
export interface Hierarchy {
  readonly version: 1 | 2;
  /** v1: the controllers bound to it, or one name such as 'name=systemd'. v2: empty; cgroup.controllers tells them. */
  readonly controllers: readonly string[];
  /** Our own cgroup as the kernel names it. */
  readonly path: string;
  /** Where our own cgroup can be seen, best first; empty when it is not mounted or outside of what is mounted. */
  readonly places: readonly HierarchyPlace[];
  /** Why `places` is empty. */
  readonly reason?: string;
}

export interface HierarchyPlace {
  readonly mountPoint: string;
  /** The directory of our own cgroup. */
  readonly directory: string;
  /** 'major:minor' of the mount, the st_dev of its files: tells whether another mount hides it. */
  readonly device: string;
  readonly readOnly: boolean;
}

interface CgroupMount {
  readonly version: 1 | 2;
  readonly options: readonly string[];
  readonly root: string;
  readonly mountPoint: string;
  readonly device: string;
  readonly readOnly: boolean;
}

/** mountinfo writes blank, tab, newline and backslash as octal; see proc_pid_mountinfo(5). */
const unescapeOctal = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** Lines such as `36 31 0:30 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory`. */
function parseMounts(mountinfo: string): CgroupMount[] {
  const mounts: CgroupMount[] = [];
  for (const line of mountinfo.split('\n')) {
    const [before, after] = line.split(' - ');
    const [type, , superOptions = ''] = after?.split(' ') ?? [];
    if (type !== 'cgroup' && type !== 'cgroup2') continue;
    const [, , device = '', root = '', mountPoint = '', mountOptions = ''] = before?.split(' ') ?? [];
    const options = superOptions.split(',');
    mounts.push({
      version: type === 'cgroup' ? 1 : 2,
      options,
      root: unescapeOctal(root),
      mountPoint: unescapeOctal(mountPoint),
      device,
      readOnly: mountOptions.split(',').includes('ro') || options.includes('ro'),
    });
  }
  return mounts;
}

/** What of `path` lies below the directory that is mounted; null when it is outside, also of our cgroup namespace (`/..`). */
function below(root: string, path: string): string | null {
  if (path.split('/').includes('..') || root.split('/').includes('..')) return null;
  if (root === '/') return path === '/' ? '' : path;
  return path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : null;
}

function placesOf(mounts: readonly CgroupMount[], path: string): HierarchyPlace[] {
  const places = mounts.flatMap((m) => {
    const rest = below(m.root, path);
    if (rest === null) return [];
    const directory = `${m.mountPoint === '/' ? '' : m.mountPoint}${rest}` || '/';
    return [{ mountPoint: m.mountPoint, directory, device: m.device, readOnly: m.readOnly }];
  });
  // A writable one first, then the one that shows most of the tree above us.
  return places.sort(
    (a, b) =>
      Number(a.readOnly) - Number(b.readOnly) || b.directory.length - b.mountPoint.length - (a.directory.length - a.mountPoint.length),
  );
}

function hierarchyOf(line: string, mounts: readonly CgroupMount[]): Hierarchy | null {
  // hierarchy-ID:controller-list:path, and the path may hold colons; see cgroups(7).
  const m = /^(\d+):([^:]*):(\/.*)$/.exec(line);
  if (m === null) return null;
  const [, id, list = '', rawPath = ''] = m;
  const version = id === '0' && list === '' ? 2 : 1;
  const controllers = list === '' ? [] : list.split(',');
  const deleted = rawPath.endsWith(' (deleted)');
  const path = deleted ? rawPath.slice(0, -' (deleted)'.length) : rawPath;
  const own = mounts.filter((x) => x.version === version && controllers.every((c) => x.options.includes(c)));
  const places = deleted ? [] : placesOf(own, path);
  if (places.length > 0) return { version, controllers, path, places };
  const reason = deleted
    ? `our own cgroup ${path} was removed`
    : own.length === 0
      ? 'it is not mounted'
      : `our own cgroup ${path} lies outside of what is mounted at ${own[0]?.mountPoint}`;
  return { version, controllers, path, places, reason };
}

/** Every hierarchy that this process is in, with the places where it can be seen. */
export function parseHierarchies(mountinfo: string, procCgroup: string): Hierarchy[] {
  const mounts = parseMounts(mountinfo);
  return procCgroup.split('\n').flatMap((line) => hierarchyOf(line, mounts) ?? []);
}

export type CgroupMode = 'unified' | 'hybrid' | 'legacy' | 'none';

/** v1 hierarchies without a controller, such as name=systemd, do not count: they limit nothing. */
export function modeOf(hierarchies: readonly Hierarchy[]): CgroupMode {
  const seen = hierarchies.filter((h) => h.places.length > 0);
  const v2 = seen.some((h) => h.version === 2);
  const v1 = seen.some((h) => h.version === 1 && h.controllers.some((c) => !c.startsWith('name=')));
  if (v1) return v2 ? 'hybrid' : 'legacy';
  return v2 ? 'unified' : 'none';
}
