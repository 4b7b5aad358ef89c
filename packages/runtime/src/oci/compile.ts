// Options, image and host -> the OCI runtime-spec object. Pure: the whole container can be looked at before it exists.

import type { ImageConfig } from '@ctr/image';
import { InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import type { IdMap, IdMaps } from '@ctr/namespaces';
import type { RunSpec } from '../options/run-schema.js';
import type { ResolvedUser } from '../user/resolve-user.js';
import { knownIdMaps, wantedIds } from '../userns/container-ids.js';
import { defaultMounts, MASKED_PATHS, OCI_VERSION, READONLY_PATHS } from './defaults.js';
import { type HostDevice, ociDevices } from './devices.js';
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
  /** What the option `devices` names. */
  readonly devices?: readonly HostDevice[];
  /** The maps of a user namespace that were made for this container alone. */
  readonly idMaps?: IdMaps | undefined;
}

const ALWAYS_NEW: readonly OciNamespaceType[] = ['pid', 'mount', 'network', 'ipc', 'uts', 'cgroup'];

/** A path for a namespace that is given as a descriptor. */
const pathOf = (place: string | Fd): string => (Fd.is(place) ? `/proc/self/fd/${place.fd}` : place);

function wantsUser(spec: RunSpec, host: HostFacts, user: ResolvedUser): 'new' | 'host' | string {
  const place = spec.namespaces?.get('user');
  if (place !== undefined) return pathOf(place);
  return wantedIds(spec, host, user) === 'host' ? 'host' : 'new';
}

export function compileNamespaces(spec: RunSpec, host: HostFacts, user: ResolvedUser): OciNamespace[] {
  const wanted = new Map<OciNamespaceType, string>(ALWAYS_NEW.map((type) => [type, 'new']));
  if (spec.network === 'host') wanted.set('network', 'host');
  wanted.set('user', wantsUser(spec, host, user));
  for (const [type, place] of spec.namespaces ?? []) if (type !== 'user') wanted.set(type, pathOf(place));
  return [...wanted].filter(([, place]) => place !== 'host').map(([type, place]) => (place === 'new' ? { type } : { type, path: place }));
}

const toOci = (maps: readonly IdMap[]): OciIdMap[] => maps.map((m) => ({ containerID: m.containerId, hostID: m.hostId, size: m.size }));

const isOneId = (maps: readonly OciIdMap[]): boolean => maps.length === 1 && maps[0]?.size === 1;

/** Those that were made for this container, or what needs nothing made: this user's own id as the container's root. */
function idMappings({ spec, user, host, idMaps }: CompileInput): { uidMappings: OciIdMap[]; gidMappings: OciIdMap[] } {
  const wanted = wantedIds(spec, host, user);
  if (idMaps === undefined && wanted === 'own') {
    return { uidMappings: [{ containerID: 0, hostID: host.uid, size: 1 }], gidMappings: [{ containerID: 0, hostID: host.gid, size: 1 }] };
  }
  if (idMaps === undefined && (wanted === 'claimed' || wanted === 'host')) throw new TypeError('no ids were claimed for this container');
  const maps = idMaps ?? knownIdMaps(wanted as Exclude<typeof wanted, 'claimed' | 'host'>, host, user);
  return { uidMappings: toOci(maps.uid), gidMappings: toOci(maps.gid) };
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
  const namespaces = compileNamespaces(spec, host, user);
  const isNew = (type: OciNamespaceType): boolean => namespaces.some((n) => n.type === type && n.path === undefined);
  const ownUser = isNew('user');
  const maps = ownUser ? idMappings(input) : undefined;
  if (maps !== undefined) {
    checkMapped(user.uid, maps.uidMappings, 'user');
    checkMapped(user.gid, maps.gidMappings, 'user');
  }
  const hostname = isNew('uts') ? (spec.hostname ?? id.slice(0, 12)) : undefined;
  const terminalGroup = maps === undefined || maps.gidMappings.some((m) => m.containerID <= 5 && 5 < m.containerID + m.size);
  const resources = toOciResources(spec, host, input.devices);
  const process = compileProcess({ spec, image, user, hostname, host, ownUser, oneId: maps !== undefined && isOneId(maps.uidMappings) });
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
      ...(input.devices?.length ? { devices: ociDevices(input.devices, ownUser) } : {}),
      ...(spec.sysctls === undefined ? {} : { sysctl: Object.fromEntries(spec.sysctls) }),
    },
  };
}
