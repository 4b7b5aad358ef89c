// OCI runtime-spec object -> what the launcher takes. The one path from configuration to kernel: whatever made the
// object, options or a bundle, goes through here.
import type { Fd } from '@ctr/internal/fd';
import type { Step } from '@ctr/internal/steps';
import type { CapabilitySets, CgroupEntry, Device, HintSource, Rlimit, SpawnOptions, Stdio } from '@ctr/namespaces';
import { type MountMaps, mappedMount } from './mount-maps.js';
import { RLIM_INFINITY } from './process.js';
import type { OciClock, OciIdMap, OciLinux, OciNamespaceType, OciProcess, OciSpec } from './types.js';

/** What the object only names: descriptors, and the steps of the other packages. */
export interface SpawnContext {
  /** 'start container "web"' */
  readonly doing: string;
  readonly root: { readonly steps: readonly Step[]; readonly slot: string; readonly temporary?: readonly string[] };
  readonly cgroup: CgroupEntry | undefined;
  readonly stdio: readonly [Stdio, Stdio, Stdio];
  /** Where the host has devices that are elsewhere inside. */
  readonly deviceSources?: ReadonlyMap<string, string> | undefined;
  /** Namespaces to join, opened. */
  readonly joined: ReadonlyMap<OciNamespaceType, Fd>;
  /** The user namespace by whose maps the owners in bind mounts are seen. */
  readonly idMap?: Fd | undefined;
  /** The user namespaces of mounts with maps of their own. */
  readonly mountMaps?: MountMaps | undefined;
  /** The compiled filter. */
  readonly seccomp: SpawnOptions['seccomp'] | undefined;
  readonly prepare: readonly Step[];
  readonly beside: readonly Step[];
  readonly cleanup: readonly Step[];
  readonly hints: HintSource;
  /** A reaping first process before the program. */
  readonly init?: boolean | undefined;
  readonly signal: AbortSignal | undefined;
}

export function environment(list: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    list.map((entry) => {
      const at = entry.indexOf('=');
      return [entry.slice(0, at), entry.slice(at + 1)];
    }),
  );
}

/** Above 2^63 lies only "no limit". */
const limit = (n: number): number => (n >= RLIM_INFINITY / 2 ? Number.POSITIVE_INFINITY : n);

function rlimits(process: OciProcess): Record<string, Rlimit> {
  return Object.fromEntries(
    (process.rlimits ?? []).map((r) => [r.type.slice('RLIMIT_'.length).toLowerCase(), { soft: limit(r.soft), hard: limit(r.hard) }]),
  );
}

const idMap = (maps: readonly OciIdMap[]) => maps.map((m) => ({ containerId: m.containerID, hostId: m.hostID, size: m.size }));

function namespaces(oci: OciSpec, joined: SpawnContext['joined']): NonNullable<SpawnOptions['namespaces']> {
  return Object.fromEntries(oci.linux.namespaces.map((n) => [n.type, n.path === undefined ? 'new' : (joined.get(n.type) ?? 'host')]));
}

const terminalSize = ({ consoleSize: size }: OciProcess): true | { columns: number; rows: number } =>
  size === undefined ? true : { columns: size.width, rows: size.height };

const NO_CAPABILITIES: CapabilitySets = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };

/** What a program gets, in a new container or a running one. */
export function toProgramOptions(process: OciProcess, seccomp: SpawnOptions['seccomp'] | undefined, stdio: readonly [Stdio, Stdio, Stdio]) {
  const { user } = process;
  return {
    args: process.args,
    env: environment(process.env),
    cwd: process.cwd,
    createCwd: true,
    user: {
      uid: user.uid,
      gid: user.gid,
      ...(user.additionalGids === undefined ? {} : { groups: user.additionalGids }),
      ...(user.umask === undefined ? {} : { umask: user.umask }),
    },
    ...(process.capabilities === undefined ? {} : { capabilities: { ...NO_CAPABILITIES, ...process.capabilities } }),
    noNewPrivileges: process.noNewPrivileges ?? false,
    rlimits: rlimits(process),
    ...(process.oomScoreAdj === undefined ? {} : { oomScoreAdj: process.oomScoreAdj }),
    ...(seccomp === undefined ? {} : { seccomp }),
    ...(process.scheduler === undefined ? {} : { scheduler: process.scheduler }),
    ...(process.ioPriority === undefined ? {} : { ioPriority: process.ioPriority }),
    // Docker's and podman's word for none.
    ...(process.apparmorProfile && process.apparmorProfile !== 'unconfined' ? { apparmorProfile: process.apparmorProfile } : {}),
    ...(process.selinuxLabel ? { selinuxLabel: process.selinuxLabel } : {}),
    ...(process.terminal ? { tty: terminalSize(process) } : { stdio }),
  };
}

/** What of `linux` a further program has too. */
export const toInherited = ({ memoryPolicy, personality }: OciLinux) => ({
  ...(memoryPolicy === undefined ? {} : { memoryPolicy }),
  ...(personality === undefined ? {} : { personality }),
});

const devices = (all: readonly Device[], sources: SpawnContext['deviceSources']): Device[] =>
  all.map((d) => (sources?.has(d.path) ? { ...d, source: sources.get(d.path) as string } : d));

const seconds = (clock: OciClock | undefined): number => (clock?.secs ?? 0) + (clock?.nanosecs ?? 0) / 1e9;

const timeOffsets = ({ timeOffsets: offsets }: OciLinux): Pick<SpawnOptions, 'timeOffsets'> =>
  offsets === undefined ? {} : { timeOffsets: { monotonic: seconds(offsets.monotonic), boottime: seconds(offsets.boottime) } };

export function toSpawnOptions(oci: OciSpec, context: SpawnContext): SpawnOptions {
  const { linux } = oci;
  const maps = linux.uidMappings && linux.gidMappings ? { uid: idMap(linux.uidMappings), gid: idMap(linux.gidMappings) } : undefined;
  return {
    ...toProgramOptions(oci.process, context.seccomp, context.stdio),
    doing: context.doing,
    namespaces: namespaces(oci, context.joined),
    ...(maps === undefined ? {} : { idMaps: maps }),
    root: context.root,
    readOnlyRoot: oci.root.readonly ?? false,
    mounts: oci.mounts.map((mount) => mappedMount(mount, context.idMap, context.mountMaps)),
    ...(linux.mountLabel ? { mountLabel: linux.mountLabel } : {}),
    maskedPaths: linux.maskedPaths ?? [],
    readonlyPaths: linux.readonlyPaths ?? [],
    ...(linux.devices === undefined ? {} : { devices: devices(linux.devices, context.deviceSources) }),
    ...(linux.sysctl === undefined ? {} : { sysctls: linux.sysctl }),
    ...(linux.rootfsPropagation === undefined ? {} : { rootPropagation: linux.rootfsPropagation }),
    ...toInherited(linux),
    ...timeOffsets(linux),
    ...(context.init ? { init: true } : {}),
    ...(oci.hostname === undefined ? {} : { hostname: oci.hostname }),
    ...(oci.domainname === undefined ? {} : { domainname: oci.domainname }),
    loopback: true,
    ...(context.cgroup === undefined ? {} : { cgroup: context.cgroup }),
    prepare: context.prepare,
    beside: context.beside,
    cleanup: context.cleanup,
    hints: context.hints,
    signal: context.signal,
  };
}
