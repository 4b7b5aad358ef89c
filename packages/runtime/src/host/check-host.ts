// checkHost(): what this host and this user can do with containers, found out by trying, with the cure for what they cannot.
import { release } from 'node:os';
import { type CgroupHost, detectCgroups } from '@ctr/cgroups';
import { compileSeccomp, type NamespaceKind, readSubIds, type SpawnOptions } from '@ctr/namespaces';
import { describeOverlay } from '@ctr/overlayfs';
import { atLeast, readPrivileges } from '../session/host-facts.js';
import { type Feature, featureOf, tryStart } from './try-start.js';
import { explainUserNamespaces } from './user-namespaces.js';

/** What {@link checkHost} finds. */
export interface HostReport {
  /** True when containers can be run here at all. */
  readonly ok: boolean;
  /** The kernel's release, such as '6.18.44'. */
  readonly kernel: string;
  /** Effective user id of this process. */
  readonly uid: number;
  /** May make namespaces and mounts without a user namespace. */
  readonly privileged: boolean;
  /** 'unified': cgroup v2. 'hybrid' and 'legacy': v1, with or without v2 beside it. 'none': no cgroups. */
  readonly cgroups: CgroupHost['mode'];
  /** By name: 'kernel', 'user namespaces', 'id ranges', 'namespaces', 'overlay', 'seccomp', 'limit memory' … */
  readonly features: Readonly<Record<string, Feature>>;
}

/** Without these no container starts; all others are only needed by options. */
const NEEDED = ['linux', 'kernel', 'launcher', 'namespaces', 'overlay', 'seccomp'];
const KINDS: readonly NamespaceKind[] = ['pid', 'mount', 'network', 'ipc', 'uts', 'cgroup'];
/** What Resources of @ctr/cgroups limits, and by which controller. */
const LIMITS = { memory: 'memory', cpus: 'cpu', cpuset: 'cpuset', pids: 'pids', 'block I/O': 'io' } as const;

/** Some folder of the root file system in which nothing is mounted. */
const LOWER = '/usr';

type Namespaces = NonNullable<SpawnOptions['namespaces']>;

async function limits(host: CgroupHost): Promise<Record<string, Feature>> {
  const entries = Object.entries(LIMITS).map(([what, controller]): [string, Feature] => {
    const place = host.controllers[controller] ?? (controller === 'io' ? host.controllers['blkio'] : undefined);
    if (place?.writable) return [`limit ${what}`, { ok: true, why: `cgroup v${place.version}` }];
    const why = place?.reason ?? 'the kernel has no such controller';
    return [
      `limit ${what}`,
      {
        ok: false,
        why,
        cure: 'run as root, or in a cgroup that was delegated to this user: systemd-run --user --scope -p Delegate=yes node …',
      },
    ];
  });
  return Object.fromEntries(entries);
}

/** Whether a container can have other users than this one; root needs no ranges. */
function idRanges(privileged: boolean): Record<string, Feature> {
  if (privileged) return {};
  const { uid, missing } = readSubIds();
  if (missing !== undefined) return { 'id ranges': { ok: false, ...missing } };
  const count = uid.reduce((n, r) => n + r.size, 0);
  return { 'id ranges': { ok: true, why: `${count} ids beside this user's own` } };
}

/** A filter that allows everything: whether filters can be loaded at all. */
const anyFilter = (): Uint8Array => compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW' });

async function tryAll(privileged: boolean): Promise<Record<string, Feature>> {
  const launcher = await tryStart({});
  if (!launcher.ok)
    return launcher.why?.includes('clone3') ? { launcher, 'user namespaces': await explainUserNamespaces(launcher) } : { launcher };
  const user: Namespaces = privileged ? {} : { user: 'new' };
  const withMount: Namespaces = { ...user, mount: 'new' };
  const root = describeOverlay({ lower: [LOWER], upper: 'memory', userxattr: !privileged });
  const all = Object.fromEntries(KINDS.map((kind) => [kind, 'new'])) as Namespaces;
  const [users, namespaces, overlay, seccomp] = await Promise.all([
    // Ubuntu lets everybody make one and then refuses every right in it: only its use tells.
    tryStart({ namespaces: { user: 'new', uts: 'new' }, hostname: 'check' }).then((f) => explainUserNamespaces(f)),
    tryStart({ namespaces: { ...user, ...all } }),
    tryStart({ namespaces: withMount, root }),
    tryStart({ seccomp: anyFilter(), noNewPrivileges: true }),
  ]);
  return { launcher, 'user namespaces': users, namespaces: privileged || users.ok ? namespaces : users, overlay, seccomp };
}

const kernelFeature = (): Feature =>
  atLeast([5, 15]) ? { ok: true, why: release() } : { ok: false, why: `this is Linux ${release()}`, cure: 'Linux 5.15 or newer' };

/**
 * Finds out what containers can do here: tries each thing, changes nothing, and says for what does not work why, and
 * what to do about it. Works on every system; elsewhere than on Linux the answer is no.
 *
 * @example
 * ```ts
 * const host = await checkHost()
 * for (const [name, f] of Object.entries(host.features)) console.log(f.ok ? '✓' : '✗', name, f.why ?? '', f.cure ?? '')
 * ```
 */
export async function checkHost(): Promise<HostReport> {
  const uid = process.geteuid?.() ?? -1;
  if (process.platform !== 'linux') {
    const linux: Feature = { ok: false, why: `this is ${process.platform}`, cure: 'Linux, such as in a virtual machine' };
    return { ok: false, kernel: release(), uid, privileged: false, cgroups: 'none', features: { linux } };
  }
  const { privileged } = await readPrivileges();
  const host = await detectCgroups().catch((error: unknown) => error as Error);
  const cgroups = host instanceof Error ? { 'control groups': featureOf(host) } : await limits(host);
  const features = { kernel: kernelFeature(), ...(await tryAll(privileged)), ...idRanges(privileged), ...cgroups } as Record<
    string,
    Feature
  >;
  const ok = NEEDED.every((name) => features[name]?.ok ?? name === 'linux');
  return { ok, kernel: release(), uid, privileged, cgroups: host instanceof Error ? 'none' : host.mode, features };
}
