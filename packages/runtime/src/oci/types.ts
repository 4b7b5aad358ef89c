// The parts of the OCI runtime specification that are made and understood here.
// <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md>
import type { OciLinuxResources } from '@ctr/cgroups';
import type { Device, IoPriority, MemoryPolicy, OciSeccomp, Personality, Scheduler } from '@ctr/namespaces';

/** An OCI runtime-spec configuration: the middle language between options and the kernel. */
export interface OciSpec {
  ociVersion: string;
  root: { path: string; readonly?: boolean };
  process: OciProcess;
  hostname?: string;
  domainname?: string;
  mounts: OciMount[];
  annotations?: Record<string, string>;
  linux: OciLinux;
}

export interface OciProcess {
  terminal?: boolean;
  consoleSize?: { height: number; width: number };
  user: { uid: number; gid: number; umask?: number; additionalGids?: number[] };
  args: string[];
  env: string[];
  cwd: string;
  /** A set that is left out is empty. */
  capabilities?: Partial<Record<CapabilitySet, string[]>>;
  rlimits?: OciRlimit[];
  noNewPrivileges?: boolean;
  oomScoreAdj?: number;
  scheduler?: Scheduler;
  ioPriority?: IoPriority;
  /** Of further programs alone: until they are in the container's cgroup, and from then on. */
  execCPUAffinity?: { initial?: string; final?: string };
  apparmorProfile?: string;
  selinuxLabel?: string;
}

export type CapabilitySet = 'bounding' | 'effective' | 'permitted' | 'inheritable' | 'ambient';

export interface OciRlimit {
  type: string;
  soft: number;
  hard: number;
}

export interface OciMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  /** Of a bind: `containerID` is the id on disk, `hostID` the one that the mount shows. Both kinds or none. */
  uidMappings?: OciIdMap[];
  gidMappings?: OciIdMap[];
}

export type OciNamespaceType = 'pid' | 'mount' | 'network' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time';

export interface OciNamespace {
  type: OciNamespaceType;
  /** A namespace to join; without it a new one is made. */
  path?: string;
}

export interface OciIdMap {
  containerID: number;
  hostID: number;
  size: number;
}

export interface OciLinux {
  namespaces: OciNamespace[];
  uidMappings?: OciIdMap[];
  gidMappings?: OciIdMap[];
  cgroupsPath?: string;
  resources?: OciResources;
  seccomp?: OciSeccomp;
  /** SELinux. */
  mountLabel?: string;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  devices?: Omit<Device, 'source'>[];
  sysctl?: Record<string, string>;
  rootfsPropagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | 'shared' | 'rshared' | 'unbindable' | 'runbindable';
  memoryPolicy?: MemoryPolicy;
  personality?: Personality;
  /** What is added to the clocks of a new time namespace. */
  timeOffsets?: { monotonic?: OciClock; boottime?: OciClock };
}

export interface OciClock {
  secs?: number;
  nanosecs?: number;
}

type Writable<T> = T extends readonly (infer U)[] ? Writable<U>[] : T extends object ? { -readonly [K in keyof T]: Writable<T[K]> } : T;

/** The limits; 0 is "not asked for" and -1 no limit, as in runc. */
export interface OciResources extends Omit<Writable<OciLinuxResources>, 'devices'> {
  devices?: OciDeviceRule[];
}

export interface OciDeviceRule {
  allow: boolean;
  type?: 'a' | 'b' | 'c';
  major?: number;
  minor?: number;
  access?: string;
}
