// What `userns` means when it is left out. Root of the host then gives a container a range of ids that nobody else has, so that
// container root is nobody outside; unless the container asks for what only the host's user namespace has.
import type { HostFacts } from '../oci/host-facts.js';
import type { RunSpec } from '../options/run-schema.js';
import { atLeast } from '../session/host-facts.js';
import type { ResolvedUser } from '../user/resolve-user.js';

/** Ids of a range that a container of root's gets: as many as a distribution's images use. */
export const RANGE = 65_536;

/** They act on the machine, not on a namespace (capabilities(7), and ns_capable() against capable() in the kernel). */
const OF_THE_MACHINE = new Set(
  (
    'ALL AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD PERFMON ' +
    'SYSLOG SYS_BOOT SYS_MODULE SYS_NICE SYS_PACCT SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG WAKE_ALARM'
  )
    .split(' ')
    .map((name) => `CAP_${name}`),
);

function raisesLimits(spec: RunSpec, host: HostFacts): boolean {
  return [...(spec.ulimits ?? [])].some(([name, limit]) => {
    const hard = typeof limit === 'object' ? limit.hard : limit;
    return (hard === 'unlimited' ? Number.POSITIVE_INFINITY : hard) > (host.hardLimits[name] ?? Number.POSITIVE_INFINITY);
  });
}

/** Each with the reason for which a container that left `userns` out has the host's; the first that holds counts. */
const REASONS: readonly [(spec: RunSpec, host: HostFacts, user: ResolvedUser) => boolean, string][] = [
  [(_, host) => !host.initialUserNamespace, 'this process is in a user namespace already'],
  [() => !atLeast([6, 15]), 'layers are shown with mapped ids from Linux 6.15 on'],
  [(spec) => spec.preset === 'docker', 'Docker does so'],
  [(spec) => spec.rootfs === 'host', 'the machine’s own tree cannot be shown with mapped ids'],
  [(spec) => spec.network === 'host', 'it has the host’s network'],
  [(spec) => [...(spec.namespaces?.values() ?? [])].some((place) => place !== 'new'), 'it shares namespaces'],
  [(spec) => (spec.capabilities?.add ?? []).some((c) => OF_THE_MACHINE.has(c)), 'it was given rights over the machine'],
  [(spec) => (spec.devices?.length ?? 0) > 0, 'it was given devices, whose owners are the host’s'],
  [(spec) => (spec.oomScoreAdj ?? 0) < 0, 'only the host’s root may lower oom_score_adj'],
  [raisesLimits, 'only the host’s root may raise limits'],
  [(_, __, user) => user.uid >= RANGE || user.gid >= RANGE, 'its user is above the range of ids'],
];

/** Why a container of root's that left `userns` out shares the host's user namespace; undefined: it gets one of its own. */
export function reasonForHost(spec: RunSpec, host: HostFacts, user: ResolvedUser): string | undefined {
  return REASONS.find(([holds]) => holds(spec, host, user))?.[1];
}
