// The filter that every container gets unless asked otherwise, as an OCI object and compiled.
import { type CapabilityName, parseCapability } from '../capabilities.js';
import { type SyscallArch, syscallArch } from '../syscalls/index.js';
import { EAFNOSUPPORT, ENOSYS, EPERM, EPROTONOSUPPORT } from './actions.js';
import { compilePlainProfile } from './compile.js';
import { OCI_ARCH } from './conventions.js';
import { ALLOWED, DENIED, OPENED_BY } from './default-table.js';
import type { OciSeccomp, OciSeccompArg, OciSeccompRule } from './types.js';

/** NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. NEWTIME overlaps the exit signal in clone: only clone3 and unshare have it. */
const CLONE_NEW_ANY = 0x7e020000;

/** PER_LINUX, PER_LINUX32, each with UNAME26, and the question what it is. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];

/** TIOCSTI and TIOCLINUX put characters into the terminal's input: on a shared terminal, commands for the user's shell. */
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const AF_PACKET = 17;
const NETLINK_ROUTE = 0;
const NETLINK_AUDIT = 9;

/**
 * SECURITY: the kernel takes an int from the low 32 bits and ignores the rest, so a 64-bit comparison could be slipped past by
 * setting a high bit (CVE-2019-10063). Only the low half is compared.
 */
const int = (index: number, value: number): OciSeccompArg => ({ index, value: 0xffffffff, valueTwo: value, op: 'SCMP_CMP_MASKED_EQ' });

/** Holds always, and yields to every rule that is more specific. */
const otherwise = (index: number): OciSeccompArg => ({ index, value: 0, op: 'SCMP_CMP_GE' });

const allow = (names: readonly string[], ...args: OciSeccompArg[]): OciSeccompRule => ({
  names: [...names],
  action: 'SCMP_ACT_ALLOW',
  ...(args.length > 0 ? { args } : {}),
});

const refuse = (errno: number, names: readonly string[], ...args: OciSeccompArg[]): OciSeccompRule => ({
  names: [...names],
  action: 'SCMP_ACT_ERRNO',
  errnoRet: errno,
  ...(args.length > 0 ? { args } : {}),
});

function socketRules(has: (capability: CapabilityName) => boolean): OciSeccompRule[] {
  const families = [AF_UNIX, AF_INET, AF_INET6, ...(has('CAP_NET_RAW') ? [AF_PACKET] : [])];
  const protocols = [NETLINK_ROUTE, ...(has('CAP_AUDIT_WRITE') ? [NETLINK_AUDIT] : [])];
  const netlink = has('CAP_NET_ADMIN')
    ? [allow(['socket'], int(0, AF_NETLINK))]
    : [
        ...protocols.map((protocol) => allow(['socket'], int(0, AF_NETLINK), int(2, protocol))),
        // What the kernel says of a protocol that it lacks: PAM and useradd then do without audit, EPERM makes them give up.
        refuse(EPROTONOSUPPORT, ['socket'], int(0, AF_NETLINK), otherwise(2)),
      ];
  return [
    ...families.map((family) => allow(['socket'], int(0, family))),
    ...netlink,
    refuse(EAFNOSUPPORT, ['socket'], otherwise(0)),
    allow(['socketpair'], int(0, AF_UNIX)),
    refuse(EAFNOSUPPORT, ['socketpair'], otherwise(0)),
  ];
}

function cloneRules(mayMakeNamespaces: boolean): OciSeccompRule[] {
  if (mayMakeNamespaces) return [allow(['clone', 'clone3'])];
  return [
    allow(['clone'], { index: 0, value: CLONE_NEW_ANY, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
    refuse(EPERM, ['clone'], otherwise(0)),
    // Its flags lie in memory, where a filter cannot look; after ENOSYS the C libraries use clone.
    refuse(ENOSYS, ['clone3']),
  ];
}

/** What the default profile depends on. */
export interface DefaultSeccompOptions {
  /** The capabilities that the process may come to hold, its bounding set: 'CAP_SYS_ADMIN' opens mount, 'CAP_SYS_TIME' clock_settime, and so on. */
  capabilities: readonly string[];
  /** The architecture that the object names; its rules are the same for all. `undefined` means this process's. */
  arch?: SyscallArch | undefined;
}

/**
 * The default profile as an OCI object, for a look, for changes, or for another runtime.
 *
 * Each system call of Linux 6.18 is allowed, refused with EPERM, or checked by its arguments; anything unknown answers ENOSYS, on
 * which programs fall back. `clone` makes no namespaces, `clone3` answers ENOSYS, `socket` knows AF_UNIX, AF_INET, AF_INET6 and
 * route netlink (others answer EAFNOSUPPORT, other netlink protocols EPROTONOSUPPORT), `ioctl` lacks TIOCSTI and TIOCLINUX,
 * `personality` takes Docker's five values.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown capability.
 * @example
 * const profile = defaultSeccompProfile({ capabilities: DEFAULT_CAPABILITIES })
 * profile.syscalls?.unshift({ names: ['io_uring_setup', 'io_uring_enter', 'io_uring_register'], action: 'SCMP_ACT_ALLOW' })
 */
export function defaultSeccompProfile(options: DefaultSeccompOptions): OciSeccomp {
  const held = new Set<string>(options.capabilities.map((name, i) => parseCapability(name, `capabilities[${i}]`)));
  const opened = new Set<string>();
  const closed = new Set<string>(DENIED);
  for (const [capability, names] of Object.entries(OPENED_BY)) for (const name of names) (held.has(capability) ? opened : closed).add(name);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: ENOSYS,
    architectures: [OCI_ARCH[syscallArch(options.arch)]],
    syscalls: [
      allow([...ALLOWED, ...opened]),
      refuse(
        EPERM,
        [...closed].filter((name) => !opened.has(name)),
      ),
      ...cloneRules(held.has('CAP_SYS_ADMIN')),
      ...PERSONALITIES.map((value) => allow(['personality'], int(0, value))),
      refuse(EPERM, ['personality'], otherwise(0)),
      ...socketRules((capability) => held.has(capability)),
      refuse(EPERM, ['ioctl'], int(1, TIOCSTI)),
      refuse(EPERM, ['ioctl'], int(1, TIOCLINUX)),
      allow(['ioctl'], otherwise(1)),
    ],
  };
}

/** The capabilities that change the profile; all others share a filter. */
const RELEVANT: readonly string[] = [...Object.keys(OPENED_BY), 'CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_AUDIT_WRITE'].sort();
const compiled = new Map<string, Uint8Array>();

/**
 * The default filter compiled, once per process and set of capabilities: the same bytes again, which the caller must not change.
 * @param capabilities the bounding set of the process to be.
 * @param arch `undefined` means this process's architecture.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown capability or architecture.
 * @example const filter = defaultSeccompFilter(DEFAULT_CAPABILITIES)
 */
export function defaultSeccompFilter(capabilities: readonly string[], arch?: SyscallArch): Uint8Array {
  const which = syscallArch(arch);
  const held = new Set<string>(capabilities.map((name, i) => parseCapability(name, `capabilities[${i}]`)));
  const key = [which, ...RELEVANT.filter((name) => held.has(name))].join(' ');
  let filter = compiled.get(key);
  if (!filter) {
    filter = compilePlainProfile(defaultSeccompProfile({ capabilities, arch: which }), which);
    compiled.set(key, filter);
  }
  return filter;
}
