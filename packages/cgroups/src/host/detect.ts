// What this host offers: which controllers, of which version, and whether we may make cgroups for them.
import { readFile, stat } from 'node:fs/promises';
import { assertLinux, syscallErrorFrom } from '@ctr/internal/errors';
import { V2_CONTROLLERS } from '../names.js';
import { type CgroupMode, type Hierarchy, type HierarchyPlace, modeOf, parseHierarchies } from './parse.js';
import { placeUnified, type UnifiedPlace, whyNotWritable } from './unified.js';

/** One controller of this host. */
export interface ControllerPlace {
  readonly version: 1 | 2;
  /** The directory of our own cgroup; undefined when it cannot be seen. */
  readonly directory?: string;
  /** Below which {@link openParent} makes its cgroup; undefined when it cannot be seen. */
  readonly parentDirectory?: string;
  /** Whether limits of this controller can be set for cgroups that we make. */
  readonly writable: boolean;
  /** Why not; undefined when writable. */
  readonly reason?: string;
}

/** The control groups of this host as this process may use them. */
export interface CgroupHost {
  /** 'unified': v2 alone. 'hybrid': both. 'legacy': v1 alone. 'none': neither is mounted. */
  readonly mode: CgroupMode;
  /** By the kernel's names, such as 'memory' or 'cpuacct'. */
  readonly controllers: Readonly<Record<string, ControllerPlace>>;
  /** The cgroup2 hierarchy, when one can be seen: freezing and killing whole cgroups needs no controller. */
  readonly unified: UnifiedPlace | null;
}

/** The first place that is what it claims to be: its device is the mount's, so no later mount hides it. */
async function visible(h: Hierarchy): Promise<HierarchyPlace | null> {
  for (const place of h.places) {
    const found = await stat(place.directory, { bigint: true }).catch(() => null);
    if (found !== null && `${major(found.dev)}:${minor(found.dev)}` === place.device) return place;
  }
  return null;
}

/** Takes st_dev apart as makedev(3) puts it together. */
const major = (dev: bigint): bigint => ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
const minor = (dev: bigint): bigint => (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);

async function placeV1(h: Hierarchy): Promise<ControllerPlace> {
  const place = await visible(h);
  if (place === null) return { version: 1, writable: false, reason: h.reason ?? 'another mount hides it' };
  const reason = await whyNotWritable(place.directory);
  const where = { version: 1, directory: place.directory, parentDirectory: place.directory } as const;
  return reason === null ? { ...where, writable: true } : { ...where, writable: false, reason };
}

function placesOfV2(u: UnifiedPlace, names: readonly string[]): Record<string, ControllerPlace> {
  const where = { version: 2, directory: u.directory, parentDirectory: u.parentDirectory } as const;
  const place = (name: string): ControllerPlace =>
    u.controllers.includes(name)
      ? { ...where, writable: u.writable }
      : { ...where, writable: false, reason: u.reason ?? 'it is not enabled' };
  return Object.fromEntries(names.map((name) => [name, place(name)]));
}

/** @internal The search over texts that were read before; `extra` are controllers beside the usual. */
export async function detectFrom(mountinfo: string, procCgroup: string, extra: readonly string[] = []): Promise<CgroupHost> {
  const hierarchies = parseHierarchies(mountinfo, procCgroup);
  const controllers: Record<string, ControllerPlace> = {};
  let unified: UnifiedPlace | null = null;
  for (const h of hierarchies) {
    if (h.version === 1) {
      const place = await placeV1(h);
      for (const c of h.controllers) if (!c.startsWith('name=')) controllers[c] = place;
      continue;
    }
    const place = await visible(h);
    if (place === null) continue;
    unified = await placeUnified(place.directory, place.mountPoint, [...V2_CONTROLLERS, ...extra]);
    Object.assign(controllers, placesOfV2(unified, [...new Set([...unified.available, ...unified.controllers])]));
  }
  return { mode: modeOf(hierarchies), controllers, unified };
}

/**
 * Looks at the control groups of this host: reads `/proc/self/mountinfo` and `/proc/self/cgroup`, tries what may be
 * written, changes nothing.
 *
 * @throws {UnsupportedError} CTR_UNSUPPORTED when this is not Linux
 * @throws {SyscallError} ENOENT, EACCES when /proc cannot be read
 * @see {@link https://man7.org/linux/man-pages/man7/cgroups.7.html}
 * @example
 * ```ts
 * const host = await detectCgroups()
 * console.log(host.mode, host.controllers.memory?.writable)
 * ```
 */
export async function detectCgroups(): Promise<CgroupHost> {
  assertLinux('cgroups');
  return detectWith([]);
}

/** @internal */
export async function detectWith(extra: readonly string[]): Promise<CgroupHost> {
  const read = (file: string): Promise<string> =>
    readFile(file, 'utf8').catch((error: unknown) => {
      throw syscallErrorFrom(error, 'look for control groups', { hint: 'mount procfs on /proc' });
    });
  return detectFrom(await read('/proc/self/mountinfo'), await read('/proc/self/cgroup'), extra);
}
