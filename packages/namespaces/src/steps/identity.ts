// Who the program is: ids, groups, capabilities, limits.
import type { Step } from '@ctr/internal/steps';
import { named, slot } from '@ctr/internal/steps';
import { CAPABILITIES, type CapabilityName, type CapabilitySets, capabilityMask, encodeCapset } from '../capabilities.js';
import { encodeRlimit, parseRlimitName, RLIMITS, type Rlimit } from '../rlimits.js';
import { seccompFlags } from '../seccomp/flags.js';
import type { SeccompFilter } from '../seccomp/load.js';
import { signalName } from '../signals.js';
import type { User } from '../spawn/options.js';

const PR = {
  PR_SET_KEEPCAPS: named(8, 'PR_SET_KEEPCAPS'),
  PR_CAPBSET_DROP: named(24, 'PR_CAPBSET_DROP'),
  PR_SET_NO_NEW_PRIVS: named(38, 'PR_SET_NO_NEW_PRIVS'),
  PR_CAP_AMBIENT: named(47, 'PR_CAP_AMBIENT'),
  PR_SET_PDEATHSIG: named(1, 'PR_SET_PDEATHSIG'),
};
const PR_CAP_AMBIENT_RAISE = named(2, 'PR_CAP_AMBIENT_RAISE');
const PR_CAP_AMBIENT_CLEAR_ALL = named(4, 'PR_CAP_AMBIENT_CLEAR_ALL');

function u32List(values: readonly number[]): Uint8Array {
  const b = Buffer.alloc(Math.max(values.length, 1) * 4);
  values.forEach((v, i) => {
    b.writeUInt32LE(v, i * 4);
  });
  return b;
}

/**
 * Whether setgroups(2) can be called: no where the user namespace denies it (user_namespaces(7)), and to be seen by trying it in one that is
 * joined: whoever joins one has all capabilities there, so EPERM means that it is denied.
 */
export type Setgroups = boolean | 'try';

/** setgroups wherever it is let, so that none of the launcher's groups comes along (CVE-2022-36109). */
export function setUser(user: User, o: { setgroups: Setgroups }): Step[] {
  const doing = `become uid ${user.uid}, gid ${user.gid}`;
  const groups = user.groups ?? [];
  const own: Step = { call: 'setgroups', args: [groups.length, { bytes: u32List(groups), text: `[${groups.join(', ')}]` }], doing };
  return [
    // Groups that were asked for are had, or the start fails.
    ...(o.setgroups ? [o.setgroups === 'try' && groups.length === 0 ? { ...own, allow: ['EPERM'] } : own] : []),
    { call: 'setresgid', args: [user.gid, user.gid, user.gid], doing },
    { call: 'setresuid', args: [user.uid, user.uid, user.uid], doing },
  ];
}

export const keepCapabilities = (): Step => ({
  call: 'prctl',
  args: [PR.PR_SET_KEEPCAPS, 1, 0, 0, 0],
  doing: 'keep capabilities over the change of ids',
});

/** Before the ids change, while CAP_SETPCAP is there. */
export function dropBounding(bounding: readonly string[]): Step[] {
  const keep = capabilityMask(bounding);
  // EINVAL: a capability that this kernel is too old to know.
  return CAPABILITIES.flatMap((name, n): Step[] =>
    keep & (1n << BigInt(n))
      ? []
      : [{ call: 'prctl', args: [PR.PR_CAPBSET_DROP, named(n, name), 0, 0, 0], allow: ['EINVAL'], doing: `drop ${name}` }],
  );
}

/**
 * As setCapabilities, with CAP_SYS_ADMIN beside: for the moment until the filter is loaded. Where there is no such right, seccomp(2)
 * says so. A user other than root loses it by exec, if not before (capabilities(7)).
 */
export function keepRightToFilter(user: User | undefined, sets: CapabilitySets | undefined): Step[] {
  if (sets === undefined && (user === undefined || user.uid === 0)) return [];
  const admin = (names: readonly string[] = []): string[] => [...new Set([...names, 'CAP_SYS_ADMIN'])];
  const { header, data } = encodeCapset({
    inheritable: sets?.inheritable ?? [],
    permitted: admin(sets?.permitted),
    effective: admin(sets?.effective),
  });
  return [
    {
      call: 'capset',
      args: [
        { bytes: header, text: '{version 3}' },
        { bytes: data, text: `{effective=${admin(sets?.effective).join('|')}}` },
      ],
      allow: ['EPERM'],
      doing: 'keep the right to load the seccomp filter',
    },
  ];
}

export function setCapabilities(sets: CapabilitySets): Step[] {
  const { header, data } = encodeCapset(sets);
  const doing = 'set the capabilities';
  return [
    { call: 'prctl', args: [PR.PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0], doing },
    {
      call: 'capset',
      args: [
        { bytes: header, text: '{version 3}' },
        { bytes: data, text: `{effective=${sets.effective.length ? sets.effective.join('|') : '0'}}` },
      ],
      doing,
    },
    ...sets.ambient.map(
      (name): Step => ({
        call: 'prctl',
        args: [PR.PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, named(CAPABILITIES.indexOf(name as CapabilityName), name), 0, 0],
        doing,
      }),
    ),
  ];
}

export const noNewPrivileges = (): Step => ({ call: 'prctl', args: [PR.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0], doing: 'set no_new_privs' });

const SIGKILL = 9;

/** A signal when the monitor dies, SIGKILL unless another is wanted; after every change of ids, which clears it, and then a look if it is too late. */
export const dieWithMonitor = (signal = SIGKILL): Step[] => [
  { call: 'prctl', args: [PR.PR_SET_PDEATHSIG, named(signal, signalName(signal)), 0, 0, 0], doing: 'tie the process to the monitor' },
  { call: 'assert_monitor', args: [], doing: 'tie the process to the monitor' },
];

/** The slot of the socket over which a seccomp listener goes to Node. */
export const LISTENER_SLOT = 'seccomp.listener';

/** A new filter binds the one process there is; and the thread that hands a listener over must stay free of it. */
const TSYNC = ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_TSYNC_ESRCH'];

/** seccomp(2) with the filter's program by pointer; composite where its listener goes to Node (native/init/listener.cc). */
export function loadSeccomp({ program, flags = [], onListener }: SeccompFilter): Step {
  const fprog = Buffer.alloc(16);
  fprog.writeUInt16LE(program.length / 8, 0);
  const bytes = { bytes: program, text: 'filter' };
  const argument = { bytes: fprog, text: `{${program.length / 8} instructions}`, patches: [{ at: 8, value: bytes }] };
  const doing = 'load the seccomp filter';
  if (onListener === undefined) {
    const how = flags.length > 0 ? named(seccompFlags(flags), flags.join('|')) : 0;
    return { call: 'seccomp', args: [named(1, 'SECCOMP_SET_MODE_FILTER'), how, argument], doing };
  }
  const names = [...flags.filter((name) => !TSYNC.includes(name)), 'SECCOMP_FILTER_FLAG_NEW_LISTENER'];
  return { call: 'listen_seccomp', args: [named(seccompFlags(names), names.join('|')), argument, slot(LISTENER_SLOT)], doing };
}

export function setRlimits(limits: Readonly<Record<string, Rlimit>>): Step[] {
  return Object.entries(limits).map(
    ([name, limit]): Step => ({
      call: 'prlimit64',
      args: [
        0,
        named(RLIMITS[parseRlimitName(name)], `RLIMIT_${name.toUpperCase()}`),
        { bytes: encodeRlimit(limit), text: `{${limit.soft}, ${limit.hard}}` },
        null,
      ],
      doing: `set the limit ${name}`,
    }),
  );
}
