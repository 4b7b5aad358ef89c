// Options, image and host -> the OCI runtime-spec object. Pure: the whole container can be looked at before it exists.

import type { ImageConfig } from '@ctr/image';
import { InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import type { RunSpec } from '../options/run-schema.js';
import type { ResolvedUser } from '../user/resolve-user.js';
import { defaultMounts, MASKED_PATHS, OCI_VERSION, READONLY_PATHS } from './defaults.js';
import type { HostFacts } from './host-facts.js';
import { callerMounts } from './mounts.js';
import { compileProcess } from './process.js';
import { toOciResources } from './resources.js';
import { seccompProfile } from './seccomp.js';
import type { OciIdMap, OciMount, OciNamespace, OciNamespaceType, OciSpec } from './types.js';

export interface CompileInput {
  readonly spec: RunSpec;
  readonly id: string;
  /** What the image says about running it; undefined without an image. */
  readonly image: ImageConfig | undefined;
  /** For root.path: the top layer, the folder, or '/'. */
  readonly rootPath: string;
  readonly user: ResolvedUser;
  readonly host: HostFacts;
  /** Of the container's own control group; undefined where there is none to be had. */
  readonly cgroupsPath: string | undefined;
  /** Files of ours to show inside, such as /etc/hosts. */
  readonly files?: readonly OciMount[];
}

const ALWAYS_NEW: readonly OciNamespaceType[] = ['pid', 'mount', 'network', 'ipc', 'uts', 'cgroup'];

/** A path for a namespace that is given as a descriptor. */
const pathOf = (place: string | Fd): string => (Fd.is(place) ? `/proc/self/fd/${place.fd}` : place);

function wantsUser(spec: RunSpec, host: HostFacts): 'new' | 'host' | string {
  const place = spec.namespaces?.get('user');
  if (place !== undefined) return pathOf(place);
  if (spec.userns === undefined) return host.privileged ? 'host' : 'new';
  return spec.userns === 'host' ? 'host' : 'new';
}

export function compileNamespaces(spec: RunSpec, host: HostFacts): OciNamespace[] {
  const wanted = new Map<OciNamespaceType, string>(ALWAYS_NEW.map((type) => [type, 'new']));
  if (spec.network === 'host') wanted.set('network', 'host');
  wanted.set('user', wantsUser(spec, host));
  for (const [type, place] of spec.namespaces ?? []) if (type !== 'user') wanted.set(type, pathOf(place));
  return [...wanted].filter(([, place]) => place !== 'host').map(([type, place]) => (place === 'new' ? { type } : { type, path: place }));
}

const one = (containerID: number, hostID: number): OciIdMap[] => [{ containerID, hostID, size: 1 }];

/** The caller's maps, or this user's own id as the container's root: the one map that needs no privilege. */
function idMappings(spec: RunSpec, user: ResolvedUser, host: HostFacts): { uidMappings: OciIdMap[]; gidMappings: OciIdMap[] } {
  if (typeof spec.userns === 'object') {
    const oci = (maps: readonly { containerId: number; hostId: number; size: number }[]): OciIdMap[] =>
      maps.map((m) => ({ containerID: m.containerId, hostID: m.hostId, size: m.size }));
    return { uidMappings: oci(spec.userns.uidMap), gidMappings: oci(spec.userns.gidMap) };
  }
  if (host.privileged) {
    throw new UnsupportedError('userns "auto" for a privileged user', 'id-mapped layers, which are not supported yet', undefined, {
      hint: 'give the maps: userns: { uidMap: [{ containerId: 0, hostId: 100000, size: 65536 }], gidMap: … }, over a root that these ids can read',
    });
  }
  if (user.uid !== 0 || user.gid !== 0) {
    throw new UnsupportedError(
      `user ${user.uid}:${user.gid} without root`,
      'a range of ids from /etc/subuid, which is not supported yet',
      undefined,
      {
        hint: "give user: '0': it is this user's own id, outside",
      },
    );
  }
  return { uidMappings: one(0, host.uid), gidMappings: one(0, host.gid) };
}

function checkMapped(id: number, maps: readonly OciIdMap[], path: string): void {
  if (maps.some((m) => id >= m.containerID && id < m.containerID + m.size)) return;
  throw new InvalidArgumentError(
    path,
    `an id that the user namespace maps (${maps.map((m) => `${m.containerID} to ${m.containerID + m.size - 1}`).join(', ')})`,
    id,
  );
}

/** The caller's mount takes the place of ours on the same target, such as a larger /dev/shm. */
function mergeMounts(ours: readonly OciMount[], callers: readonly OciMount[]): OciMount[] {
  return [...ours.filter((m) => !callers.some((c) => c.destination === m.destination)), ...callers];
}

export function compileOci(input: CompileInput): OciSpec {
  const { spec, id, image, user, host } = input;
  const namespaces = compileNamespaces(spec, host);
  const isNew = (type: OciNamespaceType): boolean => namespaces.some((n) => n.type === type && n.path === undefined);
  const ownUser = isNew('user');
  const maps = ownUser ? idMappings(spec, user, host) : undefined;
  if (maps !== undefined) {
    checkMapped(user.uid, maps.uidMappings, 'user');
    checkMapped(user.gid, maps.gidMappings, 'user');
  }
  const hostname = isNew('uts') ? (spec.hostname ?? id.slice(0, 12)) : undefined;
  const terminalGroup = maps === undefined || maps.gidMappings.some((m) => m.containerID <= 5 && 5 < m.containerID + m.size);
  const resources = toOciResources(spec, host);
  const process = compileProcess({ spec, image, user, hostname, host, ownUser });
  const seccomp = seccompProfile(spec.seccomp, process.capabilities?.bounding ?? []);
  return {
    ociVersion: OCI_VERSION,
    root: { path: input.rootPath, readonly: spec.readOnly ?? false },
    process,
    ...(hostname === undefined ? {} : { hostname }),
    ...(spec.domainname === undefined ? {} : { domainname: spec.domainname }),
    mounts: mergeMounts(
      [...defaultMounts({ ownNetwork: isNew('network'), cgroup2: host.cgroup2 && isNew('cgroup'), terminalGroup }), ...(input.files ?? [])],
      callerMounts(spec),
    ),
    annotations: Object.fromEntries(spec.labels ?? []),
    linux: {
      namespaces,
      ...maps,
      ...(input.cgroupsPath === undefined ? {} : { cgroupsPath: input.cgroupsPath }),
      ...(resources === undefined ? {} : { resources }),
      ...(seccomp === undefined ? {} : { seccomp }),
      maskedPaths: [...(spec.maskedPaths ?? MASKED_PATHS)],
      readonlyPaths: [...(spec.readonlyPaths ?? READONLY_PATHS)],
      ...(spec.sysctls === undefined ? {} : { sysctl: Object.fromEntries(spec.sysctls) }),
    },
  };
}
