// Everything known -> what the launcher does. Pure but for nothing: no file, no kernel; explain() shows the outcome.
import { type CgroupDescription, describeCgroup } from '@ctr/cgroups';
import { UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import type { Step } from '@ctr/internal/steps';
import type { IdMaps, SpawnOptions } from '@ctr/namespaces';
import { type DescribedRoot, describeBindRoot, describeOverlay, type SizedUpper } from '@ctr/overlayfs';
import { hintSource } from './hints.js';
import { applySpecHook } from './oci/apply-hook.js';
import { compileOci } from './oci/compile.js';
import { type HostDevice, hostDevices, sourcesOf } from './oci/devices.js';
import { eitherSignal, type LoadedFilter, loadedFilter } from './oci/listener.js';
import type { MountMaps } from './oci/mount-maps.js';
import { fromOciResources } from './oci/resources.js';
import { toSpawnOptions } from './oci/to-spawn.js';
import type { OciNamespaceType, OciSpec } from './oci/types.js';
import type { RunSpec } from './options/run-schema.js';
import type { PreparedRoot } from './prepare-root.js';
import type { Session } from './session/session.js';
import type { StdioPlan } from './stdio.js';
import type { ResolvedUser } from './user/resolve-user.js';
import type { ContainerIds } from './userns/container-ids.js';
import { mappedRoot } from './userns/mapped-root.js';
import { describeWritableLayer, type WritableLayer } from './writable-layer.js';

export interface ContainerInput {
  readonly id: string;
  readonly spec: RunSpec;
  readonly root: PreparedRoot;
  readonly user: ResolvedUser;
  readonly session: Session;
  readonly stdio: StdioPlan;
  /** The writable layer on disk, when its size is limited. */
  readonly sized?: SizedUpper | undefined;
  /** For a container whose user namespace has more than this user's own id. */
  readonly ids?: (ContainerIds & { readonly layers: readonly string[] | undefined }) | undefined;
}

const hasHostNetwork = (spec: RunSpec): boolean => spec.network === 'host' || spec.namespaces?.get('network') === 'host';

/** Options -> OCI object, the caller's hook included. */
export function makeOci({ id, spec, root, user, session, ids }: ContainerInput, devices: readonly HostDevice[]): OciSpec {
  const cgroupsPath = session.cgroups.usable ? `/${session.cgroups.name}/${id}` : undefined;
  const files = spec.image === undefined ? [] : session.files[hasHostNetwork(spec) ? 'host' : 'own'];
  const generated = compileOci({
    spec,
    id,
    image: root.image,
    rootPath: root.layers[0] ?? '/',
    user,
    host: session.host,
    cgroupsPath,
    files,
    devices,
    idMaps: ids?.idMaps,
  });
  const { path } = generated.root;
  const oci = applySpecHook(generated, spec.spec);
  // These two are names for what stands beside the object: changing them would change nothing.
  if (oci.root.path !== path) throw new UnsupportedError('another root.path from the spec hook', 'the option "rootfs"');
  if (oci.linux.cgroupsPath !== cgroupsPath)
    throw new UnsupportedError('another linux.cgroupsPath from the spec hook', 'the path that it was given');
  return oci;
}

function cgroupOf(oci: OciSpec, { id, spec, session }: ContainerInput): CgroupDescription {
  const cgroup = describeCgroup(session.cgroups, id, fromOciResources(oci.linux.resources));
  if (spec.resources?.devices === 'default' && cgroup.notEnforced.includes('devices')) {
    throw new UnsupportedError('resources.devices "default"', 'the devices controller of cgroup v1', undefined, {
      hint: 'leave it out: the /dev of a container has only harmless devices, and it lacks CAP_MKNOD',
    });
  }
  return cgroup;
}

/** Whether the kernel could kill the process for memory before its program runs. */
function limitsMemory({ linux }: OciSpec): boolean {
  const { memory, unified = {} } = linux.resources ?? {};
  return memory?.limit !== undefined || Object.keys(unified).some((file) => file.startsWith('memory.'));
}

interface RootPlan {
  readonly root: DescribedRoot;
  readonly prepare?: readonly Step[];
  /** What may be made while the process makes its namespaces. */
  readonly beside?: readonly Step[];
  readonly cleanup: readonly Step[];
}

/**
 * A user namespace may not uncover what other mounts hide, so that overlayfs refuses a lower layer with mounts in it, as
 * the machine's own tree has. Such a root can only be looked at.
 */
function machineItself(spec: RunSpec): RootPlan {
  if (spec.readOnly) return { root: describeBindRoot('/', { readOnly: true }), cleanup: [] };
  throw new UnsupportedError('a writable layer over the machine’s own tree', 'root', undefined, {
    hint: 'give readOnly: true, and tmpfs for the folders that the program writes to',
  });
}

function describeMappedRoot(idMaps: IdMaps, lower: readonly string[], { upper, size, prepare, cleanup }: WritableLayer): RootPlan {
  const mapped = mappedRoot({ lower, upper, ...(upper === 'memory' ? { size } : { volatile: true }) }, idMaps);
  return { root: mapped.root, prepare: [...prepare, ...mapped.prepare], cleanup };
}

function describeRoot({ id, spec, root, session, ids, sized }: ContainerInput, ownUser: boolean): RootPlan {
  if (spec.rootfs === 'host' && ownUser) return machineItself(spec);
  if (ids?.layers !== undefined) return describeMappedRoot(ids.idMaps, ids.layers, describeWritableLayer(spec, session, { id, sized }));
  const userxattr = ownUser || !session.host.initialUserNamespace;
  // In a user namespace the owner of the root is one of its ids: only the process itself can give it.
  const { upper, size, prepare, cleanup } = describeWritableLayer(spec, session, { id, sized, root: userxattr ? undefined : root.facts });
  if (upper === 'memory') return { root: root.inMemory(userxattr, size), cleanup };
  // Volatile: it is thrown away at the end in any case, no need to wait for the disk.
  const { prepare: ahead, ...overlay } = describeOverlay({ lower: root.layers, upper, volatile: true, userxattr, root: root.facts });
  return { root: overlay, ...(ahead === undefined ? {} : { prepare: ahead }), beside: prepare, cleanup };
}

export interface ContainerPlan {
  readonly oci: OciSpec;
  readonly cgroup: CgroupDescription;
  readonly filter: LoadedFilter;
  /** What spawn() takes, once the namespaces to join are open. */
  spawnOptions(joined: ReadonlyMap<OciNamespaceType, Fd>, mountMaps?: MountMaps): SpawnOptions;
}

export function planContainer(input: ContainerInput): ContainerPlan {
  const { spec, root, session, stdio } = input;
  const devices = hostDevices(spec.devices);
  const oci = makeOci(input, devices);
  const cgroup = cgroupOf(oci, input);
  const filter = loadedFilter(oci, { id: input.id });
  const ownUser = oci.linux.namespaces.some((n) => n.type === 'user');
  const { root: rootSteps, prepare = [], beside = [], cleanup } = describeRoot(input, ownUser);
  const name = spec.name ?? input.id.slice(0, 12);
  return {
    oci,
    cgroup,
    filter,
    spawnOptions: (joined, mountMaps) =>
      toSpawnOptions(oci, {
        idMap: input.ids?.mounts,
        mountMaps,
        deviceSources: sourcesOf(devices),
        doing: `start container ${JSON.stringify(name)}`,
        root: rootSteps,
        cgroup: session.cgroups.usable ? { ...cgroup, limitsMemory: limitsMemory(oci) } : undefined,
        stdio: stdio.stdio,
        init: spec.init,
        joined,
        seccomp: filter.filter,
        prepare,
        beside,
        cleanup,
        signal: eitherSignal(spec.signal, filter),
        hints: hintSource({ root: root.label, rootless: ownUser }),
      }),
  };
}
