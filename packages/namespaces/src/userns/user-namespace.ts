// User namespaces without a process of their own: for mounts with mapped ids, and as the place in which others are made.
import { readlinkSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { assertLinux, SyscallError, UnsupportedError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { runErrand } from '../namespaces/errand.js';
import { type Namespace, openNamespace } from '../namespaces/namespace.js';
import { CLONE_FLAGS } from '../plan/clone-flags.js';
import type { Plan } from '../plan/plan.js';
import { describeSpawn } from '../spawn/compile-spawn.js';
import { executePlan } from '../spawn/execute-plan.js';
import { AT_FDCWD, openFlags } from '../steps/flags.js';
import { checkIdMaps, startingId } from './check-maps.js';
import { formatIdMaps, type IdMap, type IdMaps, identityMaps, nestIdMaps, oneId, stackRanges } from './id-map.js';
import { readSubIds, type SubIds } from './subids.js';

const SLOT = 'userns';
const NEWUSER = named(CLONE_FLAGS['CLONE_NEWUSER'] as number, 'CLONE_NEWUSER');
const LIMIT_FILE = '/proc/sys/user/max_user_namespaces';

const euid = (): number => process.geteuid?.() ?? 0;
const egid = (): number => process.getegid?.() ?? 0;

const openOwn: Step = {
  call: 'openat',
  args: [AT_FDCWD, '/proc/self/ns/user', openFlags('O_RDONLY', 'O_CLOEXEC')],
  into: SLOT,
  doing: 'open the new user namespace',
};

/** In the namespace itself: how many may be made below it, whoever makes them (namespaces(7)). */
function limitSteps(most: number): Step[] {
  const doing = 'limit the number of user namespaces';
  const bytes = Buffer.from(String(most));
  return [
    { call: 'openat', args: [AT_FDCWD, LIMIT_FILE, openFlags('O_WRONLY', 'O_CLOEXEC')], into: 'limit', doing },
    { call: 'write', args: [slot('limit'), { bytes, text: `"${most}"` }, bytes.length], doing, path: LIMIT_FILE },
  ];
}

/** True for the one map that needs no privilege: this user's own id alone. */
const isOwnId = (maps: readonly IdMap[], own: number): boolean => maps.length === 1 && maps[0]?.size === 1 && maps[0].hostId === own;

export const isOwnIdMap = (maps: IdMaps): boolean => isOwnId(maps.uid, euid()) && isOwnId(maps.gid, egid());

/** As the plan wants them. Without CAP_SETGID outside, a gid map may only be written once setgroups is denied. */
export const planMaps = (maps: IdMaps, mustDeny: boolean): NonNullable<Plan['idMaps']> => ({
  uid: formatIdMaps(maps.uid),
  gid: formatIdMaps(maps.gid),
  denySetgroups: mustDeny || maps.setgroups === 'deny',
});

/** The namespace in which an ordinary user's others are made, and all ids that it has: its own as 0, then its ranges. */
export interface RangeNamespace {
  readonly namespace: Namespace;
  readonly maps: { readonly uid: readonly IdMap[]; readonly gid: readonly IdMap[] };
}

/** Everything that this user may map: its own id, and the ranges. */
export function allIds(subids: SubIds): { uid: IdMap[]; gid: IdMap[] } {
  return {
    uid: [...oneId(euid()), ...stackRanges(subids.uid, 1)],
    gid: [...oneId(egid()), ...stackRanges(subids.gid, 1)],
  };
}

async function writeByHelper(program: string, pid: string, maps: readonly IdMap[]): Promise<void> {
  const doing = 'map the ranges of this user';
  const args = [program, pid, ...maps.flatMap((m) => [m.containerId, m.hostId, m.size].map(String))];
  const plan = describeSpawn({ args, doing, stdio: ['ignore', 'ignore', 'pipe'] });
  const process = await executePlan(plan, [], {});
  const [said, { exitCode }] = await Promise.all([process.stderr ? text(process.stderr) : '', process.exited]);
  if (exitCode === 0) return;
  throw new UnsupportedError('a range of ids', `${program} to succeed`, said.trim() || `exit code ${exitCode}`, {
    hint: 'the program must be set-user-ID root, or have CAP_SETUID, and no_new_privs must not be set around this process',
  });
}

async function makeRangeNamespace(): Promise<RangeNamespace> {
  const subids = readSubIds();
  const { newuidmap, newgidmap, missing } = subids;
  if (missing !== undefined || newuidmap === undefined || newgidmap === undefined)
    throw new UnsupportedError('mapping ids beside this user’s own', 'ranges in /etc/subuid and /etc/subgid', missing?.why, {
      hint: missing?.cure,
    });
  const maps = allIds(subids);
  const [namespace] = await runErrand({
    doing: 'make the user namespace of this user’s ranges',
    cloneFlags: ['CLONE_NEWUSER'],
    steps: [
      // newuidmap(1) wants /proc/<pid> to be the caller's, which it is of a dumpable process only (proc(5)).
      { call: 'prctl', args: [named(4, 'PR_SET_DUMPABLE'), 1, 0, 0, 0] },
      openOwn,
      { call: 'openat', args: [AT_FDCWD, '/proc/self', openFlags('O_PATH', 'O_DIRECTORY', 'O_CLOEXEC')], into: 'self' },
    ],
    give: [SLOT, 'self'],
    meanwhile: async ([, self]) => {
      // The link says which process it is, in the numbers of our own procfs.
      const pid = readlinkSync(`/proc/self/fd/${(self as Fd).fd}`).slice('/proc/'.length);
      // Both to their ends, whatever becomes of either: a refused start leaves no program behind.
      const both = await Promise.allSettled([writeByHelper(newuidmap, pid, maps.uid), writeByHelper(newgidmap, pid, maps.gid)]);
      for (const one of both) if (one.status === 'rejected') throw one.reason;
    },
  }).then(([ns, self]) => {
    self?.close();
    return [ns as Fd];
  });
  return { namespace: asNamespace(namespace as Fd), maps };
}

/** Takes the descriptor. */
function asNamespace(fd: Fd): Namespace {
  try {
    return openNamespace(fd, 'user');
  } finally {
    fd.close();
  }
}

let known: Promise<RangeNamespace> | undefined;

/**
 * Made once by newuidmap, in milliseconds; the maps of all namespaces inside of it can then be written without.
 * It stays as long as this thread of Node.
 */
export function rangeNamespace(): Promise<RangeNamespace> {
  if (known === undefined) {
    known = makeRangeNamespace();
    known.catch(() => {
      known = undefined;
    });
  }
  return known;
}

/** What {@link createUserNamespace} takes. */
export interface UserNamespaceOptions {
  /** How many user namespaces may be made inside it, at any depth; `undefined`: as many as the host allows. */
  maxUserNamespaces?: number;
}

/** Where a user namespace with these maps must be made, and the maps as they are written there. */
export async function placeOf(maps: IdMaps): Promise<{ around: Namespace | undefined; idMaps: NonNullable<Plan['idMaps']> }> {
  if (euid() === 0) return { around: undefined, idMaps: planMaps(maps, false) };
  if (isOwnIdMap(maps)) return { around: undefined, idMaps: planMaps(maps, true) };
  const ranges = await rangeNamespace();
  const nested: IdMaps = {
    ...maps,
    uid: nestIdMaps(maps.uid, ranges.maps.uid, 'idMaps.uid'),
    gid: nestIdMaps(maps.gid, ranges.maps.gid, 'idMaps.gid'),
  };
  return { around: ranges.namespace, idMaps: planMaps(nested, false) };
}

/** Whether the user namespace of a start is made inside another one, and not in this process's own. */
export const needsPlace = (o: { idMaps?: IdMaps; disableUserNamespaces?: boolean }): boolean =>
  o.disableUserNamespaces === true || (o.idMaps !== undefined && euid() !== 0 && !isOwnIdMap(o.idMaps));

/** A user namespace for another one to be made in. */
export interface Place {
  readonly around: Namespace;
  /** The maps of the inner one, as they are written from there. */
  readonly idMaps: NonNullable<Plan['idMaps']>;
  /** With which ids the next one is made, when those of this process do not exist there (clone(2), EPERM). */
  readonly start: { readonly uid: number; readonly gid: number } | undefined;
  /** Closes what was made for this start alone. */
  release(): void;
}

/**
 * Where the user namespace of a start is made when not in this process's own: in that of this user's ranges, or, when no
 * further ones are allowed, in one that has room for exactly one. That limit is out of reach from inside: it is the outer
 * one's (user.max_user_namespaces counts for a namespace and all below it).
 */
export async function placeAround(idMaps: IdMaps | undefined, forbid: boolean): Promise<Place> {
  const maps = idMaps ?? { uid: oneId(euid()), gid: oneId(egid()) };
  if (forbid) {
    const around = await createUserNamespace(maps, { maxUserNamespaces: 1 });
    const inner = { ...maps, uid: identityMaps(maps.uid), gid: identityMaps(maps.gid) };
    const start = { uid: startingId(maps.uid, undefined), gid: startingId(maps.gid, undefined) };
    return { around, idMaps: planMaps(inner, euid() !== 0 && isOwnIdMap(maps)), start, release: () => around.close() };
  }
  const { around, idMaps: nested } = await placeOf(maps);
  if (around === undefined) throw new TypeError('these maps need no other user namespace');
  return { around, idMaps: nested, start: undefined, release: () => {} };
}

/** setns(2) into the user namespace in this slot. */
export const joinUser = (from: string): Step => ({
  call: 'setns',
  args: [slot(from), NEWUSER],
  doing: 'join the user namespace around it',
});

/**
 * Makes a user namespace without a process: for `namespaces.user` of several programs that shall share it, and for mounts
 * with mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP). It stays until it is closed and nobody is in it.
 *
 * An ordinary user may map its own id alone, and the ranges that /etc/subuid and /etc/subgid give it, by newuidmap(1).
 *
 * @param maps Ids inside and outside; see `ownIdMaps`, `rangeIdMaps`, `keepIdMaps`.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT for ids that this user may not map; UnsupportedError CTR_UNSUPPORTED where it
 * has no ranges; SyscallError EPERM or ENOSPC where the host forbids user namespaces.
 * @see <https://man7.org/linux/man-pages/man7/user_namespaces.7.html>
 * @example
 * ```ts
 * using shared = await createUserNamespace(ownIdMaps())
 * await spawn({ args: ['id'], env: process.env, namespaces: { user: shared } })
 * ```
 */
export async function createUserNamespace(maps: IdMaps, options: UserNamespaceOptions = {}): Promise<Namespace> {
  checkIdMaps(maps, undefined, undefined);
  assertLinux('createUserNamespace()');
  const { around, idMaps } = await placeOf(maps);
  const most = options.maxUserNamespaces;
  const [fd] = await runErrand({
    doing: 'make a user namespace',
    cloneFlags: ['CLONE_NEWUSER'],
    idMaps,
    ...(around ? { fds: { around: around.fd }, enter: [joinUser('around')] } : {}),
    steps: [...(most === undefined ? [] : limitSteps(most)), openOwn],
    give: [SLOT],
  });
  if (fd === undefined) throw new SyscallError({ errno: 104, syscall: 'recvmsg', doing: 'make a user namespace' });
  return asNamespace(fd);
}
