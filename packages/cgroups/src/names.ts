// Names of cgroups that we make, and of the controllers that we use.
import { InvalidArgumentError } from '@ctr/internal/errors';

/** v1 hierarchies that a cgroup joins, as Docker does. */
export const V1_CONTROLLERS = ['cpu', 'cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids'] as const;

/** v2 controllers that a parent enables for its children. */
export const V2_CONTROLLERS = ['cpu', 'cpuset', 'memory', 'io', 'pids'] as const;

/** What {@link openParent} uses when it is not told. */
export const DEFAULT_CONTROLLERS: readonly string[] = [...V1_CONTROLLERS, 'io'];

/** A controller by the kernel's own name: `io` is v2, `blkio`, `cpuacct`, `devices` and `freezer` are v1. */
export type ControllerName = (typeof V1_CONTROLLERS)[number] | (typeof V2_CONTROLLERS)[number];

/**
 * Where a cgroup lies: the directory for each controller, and under `unified` the cgroup2 directory, which v2
 * controllers share. Plain data: keep it, send it, give it to {@link openCgroup} or {@link describeEnter} later.
 */
export type CgroupDirectories = Readonly<Record<string, string>>;

/** A child of the parent in the v1 devices hierarchy; no cgroup of a caller can have this name. */
export const DEFAULT_DEVICES = '_default-devices';

/** Refuses a name that is no single, plain component of a path. */
export function checkName(name: unknown, path: string): asserts name is string {
  if (typeof name !== 'string' || !/^[a-z0-9][a-z0-9._-]{0,199}$/.test(name))
    throw new InvalidArgumentError(path, '1 to 200 of the characters a-z 0-9 . _ -, the first a letter or digit', name);
}
