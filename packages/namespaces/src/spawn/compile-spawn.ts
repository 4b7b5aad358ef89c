// SpawnOptions -> Plan. Pure: no file, no kernel, no clock; what it says is what will happen.
import { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { isJoined, type Joined } from '../namespaces/join.js';
import { enterTimeNamespace } from '../namespaces/time-offsets.js';
import { CLONE_FLAG_OF, CLONE_FLAGS, NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';
import type { Plan, StepGroup } from '../plan/plan.js';
import { makeDevices, prepareDevices } from '../steps/devices.js';
import { AT_FDCWD, atFlags, mountAttrBytes } from '../steps/flags.js';
import { type Setgroups, setUser } from '../steps/identity.js';
import { keep } from '../steps/keep.js';
import { attach, setAttributes } from '../steps/mount-steps.js';
import { raiseLoopback, spareNetwork, takeNetwork } from '../steps/network.js';
import { makeDirectories } from '../steps/paths.js';
import { openInit } from '../steps/reaper.js';
import { openHostProc } from '../steps/security-label.js';
import { setSysctls } from '../steps/sysctls.js';
import { startingId } from '../userns/check-maps.js';
import { type IdMaps, mapsId, oneId } from '../userns/id-map.js';
import { joinUser, type Place, planMaps } from '../userns/user-namespace.js';
import { extraFds, labelOf } from './attribute-steps.js';
import { makeReadonly, maskPaths, prepareMasks } from './masked-steps.js';
import { labelMounts } from './mount-label.js';
import { type MountContext, type MountSteps, mountSlot, mountSteps } from './mount-plan.js';
import { propagationFlag, readMountWords } from './mount-words.js';
import type { SpawnOptions } from './options.js';
import { PIPE_PLACEHOLDER } from './placeholder.js';
import { connectStdio, listenerFds, programSteps, setOomScoreAdj, stdioFds } from './program-steps.js';
import { checkGroups, maySetGroups } from './setgroups.js';
import { terminalOf } from './terminal-steps.js';

const isNew = (o: SpawnOptions, kind: NamespaceKind): boolean => o.namespaces?.[kind] === 'new';
const MNT_DETACH = named(2, 'MNT_DETACH');

/** What only a look at the host tells; made by spawn(). */
export interface SpawnFacts {
  joined?: Joined | undefined;
  /** The user namespace in which the new one is made, and its maps as they are written there. */
  around?: (Omit<Place, 'around' | 'release'> & { readonly fd: number }) | undefined;
}

interface Joins {
  fds: Record<string, number>;
  /** In a process in between, whose child is the program. */
  enter: Step[];
  setup: Step[];
}

const setns = (kind: NamespaceKind): Step => {
  const flag = CLONE_FLAG_OF[kind];
  return { call: 'setns', args: [slot(`ns.${kind}`), named(CLONE_FLAGS[flag] as number, flag)], doing: `join the ${kind} namespace` };
};

/**
 * setns for each namespace to join. Pid and user are joined by a process in between; the others too where a new user
 * namespace follows, in which the right to join what is owned outside is gone.
 */
function joins(o: SpawnOptions, { joined, around }: SpawnFacts): Joins {
  const fds: Record<string, number> = { ...joined?.fds };
  const [before, within, setup]: [Step[], Step[], Step[]] = [[], [], []];
  const user: Step[] = around ? [joinUser('ns.around'), ...(around.start ? setUser(around.start, { setgroups: false }) : [])] : [];
  if (around) fds['ns.around'] = around.fd;
  for (const kind of NAMESPACE_KINDS) {
    const ns = o.namespaces?.[kind];
    if (!isJoined(ns)) continue;
    fds[`ns.${kind}`] ??= Fd.is(ns) ? ns.fd : PIPE_PLACEHOLDER;
    if (kind === 'user') user.push(...(joined?.sameUser ? [] : [setns(kind)]));
    else if (joined?.before.has(kind) || (isNew(o, 'user') && !around)) before.push(setns(kind));
    else if (kind === 'pid' || isNew(o, 'user')) within.push(setns(kind));
    else setup.push(setns(kind));
  }
  return { fds, enter: [...before, ...user, ...within], setup };
}

/** Who asks. */
interface Caller {
  readonly uid: number;
  readonly gid: number;
  /** In its own user namespace; `undefined`: as root. */
  readonly maySetGroups?: boolean;
}

interface Ids {
  idMaps?: NonNullable<Plan['idMaps']>;
  /** The ids with which it begins in a new user namespace. */
  start?: { uid: number; gid: number };
  setgroups: Setgroups;
  ttyGid: boolean;
}

function ids(o: SpawnOptions, caller: Caller, { around, joined }: SpawnFacts): Ids {
  if (!isNew(o, 'user')) {
    const joins = isJoined(o.namespaces?.user) && !joined?.sameUser;
    return { setgroups: joins ? 'try' : (caller.maySetGroups ?? caller.uid === 0), ttyGid: true };
  }
  const maps: IdMaps = o.idMaps ?? { uid: oneId(caller.uid), gid: oneId(caller.gid) };
  const idMaps = around?.idMaps ?? planMaps(maps, caller.uid !== 0);
  const start = { uid: startingId(maps.uid, o.user?.uid), gid: startingId(maps.gid, o.user?.gid) };
  return { idMaps, start, setgroups: !idMaps.denySetgroups, ttyGid: mapsId(maps.gid, 5) };
}

/** What CLONE_VM allows: native/init/launch.cc says why. setns(2) to a time namespace wants a memory of one's own. */
const sharesMemory = (o: SpawnOptions, enters: boolean): boolean =>
  isNew(o, 'pid') &&
  !enters &&
  o.oomScoreAdj === undefined &&
  o.timeOffsets === undefined &&
  !isJoined(o.namespaces?.time) &&
  (o.cgroup === undefined || o.cgroup.limitsMemory === false);

/**
 * The namespaces that the child makes for itself, by one unshare(2): all but those that only clone3(2) puts a process into. In the monitor's
 * clone they would be made one container after the other: a network namespace alone takes half a millisecond, much of it waiting for the
 * kernel's one lock of all networks (net/core/rtnetlink.c), which the end of other namespaces holds.
 */
const BY_CHILD: readonly NamespaceKind[] = ['mount', 'network', 'ipc', 'uts', 'cgroup'];

/** After the cgroups are entered, so that a new cgroup namespace's root is the container's own. */
const unshare = (kinds: readonly NamespaceKind[]) =>
  keep(`unshare ${kinds}`, () => {
    const names = kinds.map((k) => CLONE_FLAG_OF[k]);
    const flags = names.reduce((sum, name) => sum + (CLONE_FLAGS[name] as number), 0);
    return [
      {
        call: 'unshare',
        args: [named(flags, names.join('|'))],
        doing: `make its ${kinds.join(', ')} namespace${kinds.length > 1 ? 's' : ''}`,
      },
    ];
  });

const awaitMonitor = keep('await monitor', () => [{ call: 'await_monitor', args: [], doing: 'wait for what is made beside it' }]);

/** The process's first steps, and what the monitor does meanwhile. */
interface Beginning {
  readonly prepare: StepGroup[];
  readonly beside: StepGroup[];
  readonly setup: StepGroup[];
}

/**
 * Whether the network namespace may be one that was made before the container was known: it has the owner that this one would have, and
 * its loopback is up. What it costs of the kernel's memory is then the monitor's, not the cgroup's.
 */
const takesSpare = (o: SpawnOptions): boolean => isNew(o, 'network') && (o.loopback ?? true) && (o.namespaces?.user ?? 'host') === 'host';

/**
 *     monitor   make the cgroups, the writable layer ─────┐ gate
 *     child     unshare mount, network, … ──── await_monitor, enter the cgroups, unshare cgroup
 *
 * The kernel takes about as long for the one as for the other. A cgroup namespace's root is where its maker is, so that one comes after them.
 */
function beginning(o: SpawnOptions, enters: boolean, spare: boolean): Beginning {
  const { cgroup } = o;
  const kinds = BY_CHILD.filter((k) => isNew(o, k) && !(spare && k === 'network'));
  const prepare = [o.prepare ?? [], cgroup?.prepare ?? []];
  const beside = [cgroup?.beside ?? [], o.beside ?? []].filter((steps) => steps.length > 0);
  const enter = cgroup?.setup ?? [];
  const make = (of: readonly NamespaceKind[]) => (of.length > 0 ? [unshare(of)] : []);
  const early = kinds.filter((k) => k !== 'cgroup');
  const network = spare ? [takeNetwork()] : [];
  if (beside.length === 0 || enters || (early.length === 0 && !spare))
    return { prepare: [...prepare, ...beside], beside: [], setup: [enter, ...make(kinds), ...network] };
  return { prepare, beside, setup: [...make(early), ...network, awaitMonitor, enter, ...make(kinds.filter((k) => k === 'cgroup'))] };
}

const begin = () =>
  keep('begin', () => [
    { call: 'setsid', args: [], doing: 'make a session' },
    { call: 'umask', args: [0o022] },
  ]);

/** What the users of its namespace made on disk is removed from inside of the one around it: an ordinary user is root of that one. */
const removedWithin = (steps: readonly Step[]): Step[] =>
  steps.map((step) => (step.call === 'remove_tree' ? { ...step, args: [...step.args, slot('ns.around')] } : step));

/** No mount made here may reach the host, and with a root of its own nothing of the host need come here. */
const detachPropagation = (ownRoot: boolean) =>
  keep(`propagation ${ownRoot}`, () => [
    {
      call: 'mount_setattr',
      args: [AT_FDCWD, '/', atFlags('AT_RECURSIVE'), mountAttrBytes({ propagation: ownRoot ? 'MS_PRIVATE' : 'MS_SLAVE' }), 32],
      doing: 'cut the mounts off from the host',
    },
  ]);

/** A copy of a shared mount is shared too: what is mounted in it would reach the host, and pivot_root(2) refuses it (EINVAL). */
const followHost = (root: string): Step =>
  setAttributes(root, { propagation: 'MS_SLAVE' }, { recursive: true, doing: 'let the root hear of the host’s mounts' });

/**
 * Below the old root, with which it goes. Never on / itself: there it would lie over the old root when that is unmounted, and go in its place.
 * What is not there, or was mounted in the older way, stays where it is.
 */
const carryOff = (temporary: string, doing: string): Step =>
  attach(temporary, '/proc', { doing, allow: ['EBADF', 'EINVAL', 'ENOENT', 'ENOTDIR'] });

/** The root's mount covers the host's, becomes / and the host's tree is let go. See pivot_root(2), NOTES. */
function pivot(root: string, temporary: readonly string[] = []): readonly Step[] {
  const doing = 'make the new root /';
  return keep(`pivot ${[root, ...temporary]}`, () => [
    ...temporary.map((name) => carryOff(name, doing)),
    attach(root, '/', { doing }),
    { call: 'fchdir', args: [slot(root)], doing },
    { call: 'pivot_root', args: ['.', '.'], doing },
    { call: 'umount2', args: ['.', MNT_DETACH], doing },
    { call: 'chdir', args: ['/'], doing },
  ]);
}

function hostNames(o: SpawnOptions): Step[] {
  const args = (text: string) => [text, Buffer.byteLength(text)];
  return [
    ...(o.hostname === undefined ? [] : [{ call: 'sethostname', args: args(o.hostname), doing: 'set the host name' }]),
    ...(o.domainname === undefined ? [] : [{ call: 'setdomainname', args: args(o.domainname), doing: 'set the domain name' }]),
  ];
}

function sysctlSteps(o: SpawnOptions): Step[] {
  const proc = o.mounts?.findLastIndex((m) => m.type === 'proc') ?? -1;
  return setSysctls(o.sysctls ?? {}, proc < 0 ? undefined : mountSlot(proc));
}

function rootAndMounts(o: SpawnOptions, c: MountContext): { prepare: StepGroup[]; groups: StepGroup[]; fds: Record<string, number> } {
  if (!isNew(o, 'mount')) return { prepare: [], groups: o.sysctls ? [sysctlSteps(o)] : [], fds: {} };
  const masked = o.maskedPaths ?? [];
  const mounts: MountSteps[] = (o.mounts ?? []).map((m, i) => mountSteps(m, i, c));
  const devices = o.devices ?? [];
  // A root that hears of the host's mounts is copied while it is still joined with them.
  const joined = /slave|shared/.test(o.rootPropagation ?? '');
  const groups = [
    ...mounts.map((m) => m.early ?? []),
    joined && o.root ? [...o.root.steps, followHost(o.root.slot)] : [],
    detachPropagation(o.root !== undefined),
    joined ? [] : (o.root?.steps ?? []),
    devices.length > 0 ? prepareDevices(devices, !c.userNamespace) : [],
    ...mounts.map((m) => m.before),
    o.sysctls ? sysctlSteps(o) : [],
    prepareMasks(masked),
    o.root ? pivot(o.root.slot, o.root.temporary) : [],
    ...mounts.map((m) => m.after),
    devices.length > 0 ? makeDevices(devices, !c.userNamespace) : [],
    ...mounts.flatMap((m) => (m.last?.length ? [m.last] : [])),
    maskPaths(masked),
    makeReadonly(o.readonlyPaths ?? []),
    // Before the root may become read-only.
    o.createCwd && o.cwd ? makeDirectories(o.cwd, `make the working directory ${o.cwd}`) : [],
    o.rootPropagation ? propagateRoot(o.rootPropagation) : [],
    o.readOnlyRoot ? readOnlyRoot() : [],
  ];
  const { mountLabel } = o;
  return {
    prepare: mounts.map((m) => m.prepare ?? []),
    groups: mountLabel === undefined ? groups : groups.map((group) => labelMounts(group, mountLabel)),
    fds: Object.assign({}, ...mounts.map((m) => m.fds)),
  };
}

const propagateRoot = (words: string) =>
  keep(`root propagation ${words}`, () => {
    const { kind, recursive } = readMountWords([words]).propagation ?? { kind: 'private', recursive: true };
    const attr = mountAttrBytes({ propagation: propagationFlag(kind) });
    return [
      {
        call: 'mount_setattr',
        args: [AT_FDCWD, '/', atFlags(...(recursive ? ['AT_RECURSIVE'] : [])), attr, 32],
        doing: `make the root ${words}`,
      },
    ];
  });

const readOnlyRoot = () =>
  keep('read-only root', () => [
    {
      call: 'mount_setattr',
      args: [AT_FDCWD, '/', 0, mountAttrBytes({ set: ['MOUNT_ATTR_RDONLY'] }), 32],
      doing: 'make the root read-only',
    },
  ]);

/**
 * What spawn() would do with these options, as data; nothing is done.
 * Pipes are shown but not made. See {@link describePlan} to print it.
 */
export function describeSpawn(
  o: SpawnOptions,
  caller: Caller = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, maySetGroups: maySetGroups() },
  facts: SpawnFacts = {},
): Plan {
  const later = (k: NamespaceKind): boolean => BY_CHILD.includes(k) || (k === 'time' && o.timeOffsets !== undefined);
  const cloneFlags = NAMESPACE_KINDS.filter((k) => !later(k) && isNew(o, k)).map((k) => CLONE_FLAG_OF[k]);
  const join = joins(o, facts);
  const spare = takesSpare(o);
  const first = beginning(o, join.enter.length > 0, spare);
  const id = ids(o, caller, facts);
  checkGroups(o.user, id.setgroups);
  const { mountLabel } = o;
  const mounts = rootAndMounts(o, { userNamespace: id.idMaps !== undefined, ttyGid: id.ttyGid, terminal: Boolean(o.tty) });
  const stdio = stdioFds(o);
  const fds: Record<string, number> = {
    ...stdio.borrowed,
    ...join.fds,
    ...mounts.fds,
    ...listenerFds(o, PIPE_PLACEHOLDER),
    ...extraFds(o),
  };
  for (const n of stdio.pipes) fds[stdio.slots[n] as string] = PIPE_PLACEHOLDER;
  const terminal = o.tty ? terminalOf(o, fds) : [];
  return {
    doing: o.doing ?? `start ${o.args[0]}`,
    cloneFlags,
    sharesMemory: sharesMemory(o, join.enter.length > 0),
    ...(o.cgroup?.cloneInto === undefined ? {} : { cgroup: o.cgroup.cloneInto }),
    ...(id.idMaps ? { idMaps: id.idMaps } : {}),
    ...(spare ? { spare: { key: spareNetwork.key, steps: spareNetwork.steps } } : {}),
    fds,
    stages: {
      prepare: [...(mountLabel === undefined ? first.prepare : first.prepare.map((g) => labelMounts(g, mountLabel))), ...mounts.prepare],
      beside: first.beside,
      enter: join.enter.length > 0 ? [join.enter] : [],
      setup: [
        ...first.setup,
        begin(),
        labelOf(o) ? [openHostProc()] : [],
        o.init ? [openInit()] : [],
        connectStdio(stdio.slots),
        join.setup,
        setOomScoreAdj(o.oomScoreAdj, caller.uid === 0),
        id.start ? setUser(id.start, { setgroups: id.setgroups }) : [],
        // With other ids this process is not root to the host's files.
        o.timeOffsets ? enterTimeNamespace(o.timeOffsets, caller.uid === 0 && !isNew(o, 'user')) : [],
        ...mounts.groups,
        terminal,
        hostNames(o),
        isNew(o, 'network') && (o.loopback ?? true) && !spare ? raiseLoopback() : [],
        ...programSteps(o, id.setgroups),
      ],
      kill: [o.cgroup?.kill ?? []],
      collect: [o.cgroup?.collect ?? []],
      cleanup: [o.cgroup?.cleanup ?? [], facts.around && caller.uid !== 0 ? removedWithin(o.cleanup ?? []) : (o.cleanup ?? [])],
    },
  };
}
