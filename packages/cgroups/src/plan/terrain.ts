// What rendering knows of a host, of a parent, and of a cgroup that exists.
import { existsSync } from 'node:fs';
import path from 'node:path';
import { effectiveFile } from '../controllers/cpuset.js';
import { parseCpuList } from '../cpu-list.js';
import type { CgroupHost } from '../host/detect.js';
import { tryRead } from '../kernfs.js';
import type { CgroupDirectories } from '../names.js';
import type { CgroupParent } from '../parent/parent.js';
import { NOT_ASKED, type Terrain } from './render.js';

const NONE = 'this host has no such controller';

/** The parent knows which files there are. */
const ofParent = (p: CgroupParent): Terrain => ({
  place: (controller) => {
    const h = p.hierarchyOf(controller);
    return h && { version: h.version, has: (file) => h.files.has(file) };
  },
  reason: (controller) =>
    p.missing[controller] ?? p.host.controllers[controller]?.reason ?? (Object.hasOwn(p.host.controllers, controller) ? NOT_ASKED : NONE),
  exists: (controller) => Object.hasOwn(p.host.controllers, controller),
  cpus: p.cpus,
  mems: p.mems,
  preparedDevices: p.hierarchies.some((h) => h.version === 2 && h.defaultDevices !== undefined),
});

/** Files are known only once a cgroup was made: here every kernel is taken to have them. */
const ofHost = (h: CgroupHost): Terrain => ({
  place: (controller) => {
    const c = h.controllers[controller];
    return c?.writable ? { version: c.version, has: () => true } : undefined;
  },
  reason: (controller) => h.controllers[controller]?.reason ?? NONE,
  exists: (controller) => Object.hasOwn(h.controllers, controller),
  cpus: null,
  mems: null,
});

/** The parent's or the host's; by shape, since the parent may come from another copy of this package. */
export const terrainOf = (at: CgroupParent | CgroupHost): Terrain => ('hierarchies' in at ? ofParent(at) : ofHost(at));

/** What the cgroup above can hand down. */
function above(directories: CgroupDirectories, what: 'cpus' | 'mems'): ReadonlySet<number> | null {
  const directory = directories['cpuset'];
  if (directory === undefined) return null;
  const text = tryRead(`${path.dirname(directory)}/${effectiveFile(directory === directories['unified'] ? 2 : 1, what)}`);
  return text === null ? null : parseCpuList(text);
}

/** A cgroup that exists: looks at its files. */
export const terrainOfCgroup = (directories: CgroupDirectories): Terrain => ({
  place: (controller) => {
    const directory = directories[controller];
    if (directory === undefined) return undefined;
    return { version: directory === directories['unified'] ? 2 : 1, has: (file) => existsSync(`${directory}/${file}`) };
  },
  reason: () => 'a cgroup without it',
  exists: (controller) => Object.hasOwn(directories, controller),
  cpus: above(directories, 'cpus'),
  mems: above(directories, 'mems'),
});
