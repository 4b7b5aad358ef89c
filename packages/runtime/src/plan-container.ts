// Everything known -> what the launcher does. Pure but for nothing: no file, no kernel; explain() shows the outcome.
import { dirname } from 'node:path';
import { type CgroupDescription, describeCgroup } from '@ctr/cgroups';
import { UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { named, type Step } from '@ctr/internal/steps';
import type { SpawnOptions } from '@ctr/namespaces';
import { describeOverlay } from '@ctr/overlayfs';
import { hintSource } from './hints.js';
import { applySpecHook } from './oci/apply-hook.js';
import { compileOci } from './oci/compile.js';
import { fromOciResources } from './oci/resources.js';
import { compiledFilter } from './oci/seccomp.js';
import { toSpawnOptions } from './oci/to-spawn.js';
import type { OciNamespaceType, OciSpec } from './oci/types.js';
import type { RunSpec } from './options/run-schema.js';
import type { PreparedRoot } from './prepare-root.js';
import { removeTreeStep } from './session/record.js';
import type { Session } from './session/session.js';
import type { StdioPlan } from './stdio.js';
import type { ResolvedUser } from './user/resolve-user.js';

export interface ContainerInput {
  readonly id: string;
  readonly spec: RunSpec;
  readonly root: PreparedRoot;
  readonly user: ResolvedUser;
  readonly session: Session;
  readonly stdio: StdioPlan;
}

/** Options -> OCI object, the caller's hook included. */
export function makeOci({ id, spec, root, user, session }: ContainerInput): OciSpec {
  const cgroupsPath = session.cgroups.usable ? `/${session.cgroups.name}/${id}` : undefined;
  const generated = compileOci({ spec, id, image: root.image, rootPath: root.layers[0] ?? '/', user, host: session.host, cgroupsPath });
  const { path } = generated.root;
  const oci = applySpecHook(generated, spec.spec);
  // These two are names for what stands beside the object: changing them would change nothing.
  if (oci.root.path !== path) throw new UnsupportedError('another root.path from the spec hook', 'the option "rootfs"');
  if (oci.linux.cgroupsPath !== cgroupsPath) throw new UnsupportedError('another linux.cgroupsPath from the spec hook', 'the path that it was given');
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

const AT_FDCWD = named(-100, 'AT_FDCWD');
const makeDirectory = (directory: string, allow: readonly string[] = []): Step => ({
  call: 'mkdirat',
  args: [AT_FDCWD, directory, named(0o700, '0700')],
  allow,
  doing: 'make the writable layer',
});

interface Upper {
  readonly upper: 'memory' | { readonly directory: string };
  readonly prepare: readonly Step[];
  readonly cleanup: readonly Step[];
}

function upperOf({ id, spec, session }: ContainerInput): Upper {
  if ((spec.writable ?? (session.host.memoryUpper ? 'memory' : 'disk')) === 'memory') return { upper: 'memory', prepare: [], cleanup: [] };
  const directory = `${session.uppers}/${id}`;
  return {
    upper: { directory },
    prepare: [makeDirectory(dirname(session.uppers), ['EEXIST']), makeDirectory(session.uppers, ['EEXIST']), makeDirectory(directory)],
    cleanup: [removeTreeStep(directory, 'remove the writable layer')],
  };
}

export interface ContainerPlan {
  readonly oci: OciSpec;
  readonly cgroup: CgroupDescription;
  /** What spawn() takes, once the namespaces to join are open. */
  spawnOptions(joined: ReadonlyMap<OciNamespaceType, Fd>): SpawnOptions;
}

export function planContainer(input: ContainerInput): ContainerPlan {
  const { spec, root, session, stdio } = input;
  const oci = makeOci(input);
  const cgroup = cgroupOf(oci, input);
  const ownUser = oci.linux.namespaces.some((n) => n.type === 'user');
  const { upper, prepare, cleanup } = upperOf(input);
  const overlay = describeOverlay({
    lower: root.layers,
    upper,
    // Thrown away at the end in any case: no need to wait for the disk.
    volatile: upper !== 'memory',
    userxattr: ownUser || !session.host.initialUserNamespace,
  });
  const name = spec.name ?? input.id.slice(0, 12);
  return {
    oci,
    cgroup,
    spawnOptions: (joined) =>
      toSpawnOptions(oci, {
        doing: `start container ${JSON.stringify(name)}`,
        root: overlay,
        cgroup: session.cgroups.usable ? cgroup : undefined,
        stdio: stdio.stdio,
        joined,
        seccomp: compiledFilter(oci),
        prepare,
        cleanup,
        hints: hintSource({ root: root.label, rootless: ownUser }),
      }),
  };
}
