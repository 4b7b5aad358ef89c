// The options are checked before anything is touched: what they consist of here, their shapes in check-values.ts, names
// in their own tables.
import { Fd } from '@ctr/internal/fd';
import { type CapabilitySets, checkCapabilitySets } from '../capabilities.js';
import { checkNamespaces } from '../namespaces/check-namespaces.js';
import { NAMESPACE_KINDS, type NamespaceKind } from '../plan/clone-flags.js';
import { parseRlimits } from '../rlimits.js';
import { checkSeccompFilter } from '../seccomp/load.js';
import { checkSize, type TerminalSize } from '../terminal/size.js';
import { checkIdMaps } from '../userns/check-maps.js';
import { ATTRIBUTE_KEYS, checkAttributes, checkMountLabel } from './check-attributes.js';
import { checkDevice, checkMount } from './check-mount.js';
import { checkSysctls } from './check-sysctls.js';
import { absolute, boolean, checkKeys, fail, functionValue, integer, list, object, steps, text } from './check-values.js';
import { checkHostDevices } from './host-devices.js';
import { PROPAGATIONS } from './mount-words.js';
import { parseNumberList } from './number-list.js';
import type { CgroupEntry, Device, EnterOptions, Mount, ProgramOptions, SpawnOptions, User } from './options.js';

const PROGRAM_KEYS = [
  ...'args argv0 env cwd createCwd user capabilities noNewPrivileges seccomp rlimits oomScoreAdj stdio tty cgroup doing hints signal'.split(
    ' ',
  ),
  ...ATTRIBUTE_KEYS,
];
const SPAWN_KEYS = [
  ...PROGRAM_KEYS,
  ...'namespaces idMaps timeOffsets disableUserNamespaces root readOnlyRoot mounts devices rootPropagation mountLabel maskedPaths readonlyPaths sysctls init hostname domainname loopback prepare beside cleanup'.split(
    ' ',
  ),
];
const ENTER_KEYS = [...PROGRAM_KEYS, 'namespaces', 'initialCpuAffinity'];
const ROOT_PROPAGATIONS: readonly string[] = PROPAGATIONS.flatMap((p) => [p, `r${p}`]);
const CAPABILITY_SETS = ['bounding', 'effective', 'permitted', 'inheritable', 'ambient'];
const MAX_ID = 0xfffffffe;
const MAX_NAME = 64;

function checkEnv(env: unknown): void {
  object(env, 'env');
  for (const [key, value] of Object.entries(env as object)) {
    if (key === '' || key.includes('=')) fail('env', 'names without "="', key);
    text(key, 'env');
    text(value, `env.${key}`);
  }
}

function checkUser(user: User): void {
  object(user, 'user');
  checkKeys(user, ['uid', 'gid', 'groups', 'umask'], 'user');
  integer(user.uid, 'user.uid', 0, MAX_ID);
  integer(user.gid, 'user.gid', 0, MAX_ID);
  const { groups = [] } = user;
  list(groups, 'user.groups').forEach((g, i) => {
    integer(g, `user.groups[${i}]`, 0, MAX_ID);
  });
  if (user.umask !== undefined) integer(user.umask, 'user.umask', 0, 0o777);
}

function checkCapabilities(sets: unknown): void {
  object(sets, 'capabilities');
  checkKeys(sets as object, CAPABILITY_SETS, 'capabilities');
  for (const key of CAPABILITY_SETS) list((sets as Record<string, unknown>)[key], `capabilities.${key}`);
  checkCapabilitySets(sets as CapabilitySets);
}

function checkStdio(stdio: unknown): void {
  if (list(stdio, 'stdio').length !== 3) fail('stdio', 'stdin, stdout and stderr', stdio);
  list(stdio, 'stdio').forEach((s, i) => {
    if (!['pipe', 'ignore', 'inherit'].includes(s as string) && !Fd.is(s)) fail(`stdio[${i}]`, "'pipe', 'ignore', 'inherit' or an Fd", s);
  });
}

function checkTty({ tty, stdio }: ProgramOptions): void {
  if (typeof tty !== 'boolean') {
    object(tty, 'tty');
    checkKeys(tty as object, ['columns', 'rows'], 'tty');
    checkSize(tty as TerminalSize, 'tty');
  }
  if (tty && stdio !== undefined) fail('stdio', 'left out: the terminal takes its place', stdio);
}

function checkCgroup(c: CgroupEntry): void {
  object(c, 'cgroup');
  for (const stage of ['prepare', 'setup', 'collect', 'cleanup'] as const) steps(c[stage], `cgroup.${stage}`);
  if (c.beside !== undefined) steps(c.beside, 'cgroup.beside');
  if (c.kill !== undefined) steps(c.kill, 'cgroup.kill');
  if (c.cloneInto !== undefined) text(c.cloneInto, 'cgroup.cloneInto');
  if (c.limitsMemory !== undefined) boolean(c.limitsMemory, 'cgroup.limitsMemory');
}

function checkArgs(args: unknown): void {
  if (!Array.isArray(args) || args.length === 0) fail('args', 'a non-empty array: the program and its arguments', args);
  (args as unknown[]).forEach((a, i) => {
    text(a, `args[${i}]`);
  });
  if ((args as unknown[])[0] === '') fail('args[0]', 'a program', '');
}

/** What a program gets, without what surrounds it. @throws InvalidArgumentError */
export function checkProgramOptions(o: ProgramOptions): void {
  checkArgs(o.args);
  if (o.argv0 !== undefined) text(o.argv0, 'argv0');
  if (o.env !== undefined) checkEnv(o.env);
  if (o.cwd !== undefined) absolute(o.cwd, 'cwd');
  if (o.user !== undefined) checkUser(o.user);
  if (o.capabilities !== undefined) checkCapabilities(o.capabilities);
  if (o.rlimits !== undefined) parseRlimits(o.rlimits);
  if (o.oomScoreAdj !== undefined) integer(o.oomScoreAdj, 'oomScoreAdj', -1000, 1000);
  if (o.seccomp !== undefined) checkSeccompFilter(o.seccomp);
  if (o.stdio !== undefined) checkStdio(o.stdio);
  if (o.tty !== undefined) checkTty(o);
  checkAttributes(o);
  if (o.cgroup !== undefined) checkCgroup(o.cgroup);
  for (const key of ['createCwd', 'noNewPrivileges'] as const) if (o[key] !== undefined) boolean(o[key], key);
  if (o.doing !== undefined) text(o.doing, 'doing');
  if (o.hints !== undefined) functionValue(o.hints, 'hints');
  if (o.signal !== undefined && typeof o.signal.addEventListener !== 'function') fail('signal', 'an AbortSignal', o.signal);
}

function checkRoot(root: unknown): void {
  object(root, 'root');
  checkKeys(root as object, ['steps', 'slot', 'temporary'], 'root');
  const { steps: list, slot, temporary = [] } = root as { steps: unknown; slot: unknown; temporary?: unknown };
  steps(list, 'root.steps');
  text(slot, 'root.slot');
  if (!Array.isArray(temporary)) fail('root.temporary', 'an array of slots', temporary);
  for (const [i, name] of (temporary as unknown[]).entries()) text(name, `root.temporary[${i}]`);
}

/** @throws InvalidArgumentError */
export function checkSpawnOptions(o: SpawnOptions): void {
  object(o, 'options');
  checkKeys(o, SPAWN_KEYS, '');
  checkProgramOptions(o);
  checkNamespaces(o);
  if (o.idMaps !== undefined) {
    checkIdMaps(o.idMaps, o.user?.uid ?? 0, o.user?.gid ?? 0);
    if (o.idMaps.setgroups === 'deny' && o.user?.groups?.length)
      fail('user.groups', "none, since idMaps.setgroups is 'deny'", o.user.groups);
  }
  if (o.root !== undefined) checkRoot(o.root);
  if (o.mounts !== undefined)
    list(o.mounts, 'mounts').forEach((m, i) => {
      checkMount(m as Mount, i);
    });
  if (o.devices !== undefined)
    list(o.devices, 'devices').forEach((d, i) => {
      checkDevice(d as Device, i);
    });
  checkHostDevices(o);
  if (o.rootPropagation !== undefined && !ROOT_PROPAGATIONS.includes(o.rootPropagation))
    fail('rootPropagation', `one of ${ROOT_PROPAGATIONS.join(', ')}`, o.rootPropagation);
  if (o.mountLabel !== undefined) checkMountLabel(o.mountLabel);
  const { maskedPaths = [], readonlyPaths = [] } = o;
  for (const [key, paths] of Object.entries({ maskedPaths, readonlyPaths }))
    list(paths, key).forEach((p, i) => {
      absolute(p, `${key}[${i}]`);
    });
  if (o.sysctls !== undefined) checkSysctls(o.sysctls, o.namespaces ?? {});
  for (const key of ['hostname', 'domainname'] as const) if (o[key] !== undefined) text(o[key], key, MAX_NAME);
  for (const key of ['readOnlyRoot', 'loopback', 'init'] as const) if (o[key] !== undefined) boolean(o[key], key);
  for (const key of ['prepare', 'beside', 'cleanup'] as const) if (o[key] !== undefined) steps(o[key], key);
}

/** @throws InvalidArgumentError */
export function checkEnterOptions(o: EnterOptions): void {
  object(o, 'options');
  checkKeys(o, ENTER_KEYS, '');
  checkProgramOptions(o);
  if ((o as ProgramOptions).notifySocket) fail('notifySocket', 'left out: the socket is inside only where spawn() put it', true);
  if (o.initialCpuAffinity !== undefined) parseNumberList(o.initialCpuAffinity, 'initialCpuAffinity');
  const { namespaces = [] } = o;
  list(namespaces, 'namespaces').forEach((kind, i) => {
    if (!NAMESPACE_KINDS.includes(kind as NamespaceKind)) fail(`namespaces[${i}]`, `one of ${NAMESPACE_KINDS.join(', ')}`, kind);
  });
}
