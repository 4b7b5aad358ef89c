// The options are checked before anything is touched: shapes and strings here, names in their own tables.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';
import { Fd } from '@ctr/internal/fd';
import { checkCapabilitySets } from '../capabilities.js';
import { NAMESPACE_KINDS } from '../plan/clone-flags.js';
import { parseRlimits } from '../rlimits.js';
import type { EnterOptions, IdMap, Mount, ProgramOptions, SpawnOptions, User } from './options.js';

const PROGRAM_KEYS = 'args env cwd createCwd user capabilities noNewPrivileges seccomp rlimits oomScoreAdj stdio cgroup doing hints'.split(
  ' ',
);
const SPAWN_KEYS = [
  ...PROGRAM_KEYS,
  ...'namespaces idMaps root readOnlyRoot mounts maskedPaths readonlyPaths hostname domainname loopback prepare cleanup'.split(' '),
];
const ENTER_KEYS = [...PROGRAM_KEYS, 'namespaces'];
const MOUNT_TYPES = ['bind', 'tmpfs', 'proc', 'sysfs', 'devpts', 'mqueue', 'dev', 'cgroup'];
const MAX_ID = 0xfffffffe;
const MAX_NAME = 64;
const PATH_MAX = 4096;

function fail(path: string, expected: string, received: unknown): never {
  throw new InvalidArgumentError(path, expected, received);
}

export function checkKeys(value: object, known: readonly string[], path: string): void {
  for (const key of Object.keys(value))
    if (!known.includes(key))
      fail(path === '' ? key : `${path}.${key}`, `a known option${didYouMean(key, known)}`, (value as Record<string, unknown>)[key]);
}

function text(value: unknown, path: string, most = 128 * 1024): void {
  if (typeof value !== 'string') fail(path, 'a string', value);
  if (value.includes('\0')) fail(path, 'text without NUL characters', value);
  if (Buffer.byteLength(value) > most) fail(path, `at most ${most} bytes`, value);
}

function absolute(value: unknown, path: string): void {
  text(value, path, PATH_MAX);
  if (!(value as string).startsWith('/')) fail(path, 'an absolute path', value);
}

function integer(value: unknown, path: string, min: number, max: number): void {
  if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) fail(path, `an integer from ${min} to ${max}`, value);
}

function checkEnv(env: unknown): void {
  if (typeof env !== 'object' || env === null) fail('env', 'an object of strings', env);
  for (const [key, value] of Object.entries(env)) {
    if (key === '' || key.includes('=') || key.includes('\0')) fail('env', 'names without "=" and NUL', key);
    text(value, `env.${key}`);
  }
}

function checkUser(user: User): void {
  checkKeys(user, ['uid', 'gid', 'groups', 'umask'], 'user');
  integer(user.uid, 'user.uid', 0, MAX_ID);
  integer(user.gid, 'user.gid', 0, MAX_ID);
  user.groups?.forEach((g, i) => {
    integer(g, `user.groups[${i}]`, 0, MAX_ID);
  });
  if (user.umask !== undefined) integer(user.umask, 'user.umask', 0, 0o777);
}

function checkProgram(o: ProgramOptions): void {
  if (!Array.isArray(o.args) || o.args.length === 0) fail('args', 'a non-empty array: the program and its arguments', o.args);
  o.args.forEach((a, i) => {
    text(a, `args[${i}]`);
  });
  if (o.args[0] === '') fail('args[0]', 'a program', '');
  if (o.env !== undefined) checkEnv(o.env);
  if (o.cwd !== undefined) absolute(o.cwd, 'cwd');
  if (o.user) checkUser(o.user);
  if (o.capabilities) checkCapabilitySets(o.capabilities);
  if (o.rlimits) parseRlimits(o.rlimits);
  if (o.oomScoreAdj !== undefined) integer(o.oomScoreAdj, 'oomScoreAdj', -1000, 1000);
  if (o.seccomp !== undefined && (!(o.seccomp instanceof Uint8Array) || o.seccomp.length % 8 !== 0 || o.seccomp.length === 0))
    fail('seccomp', 'the bytes of a filter program, a multiple of 8', o.seccomp);
  o.stdio?.forEach((s, i) => {
    if (!['pipe', 'ignore', 'inherit'].includes(s as string) && !Fd.is(s)) fail(`stdio[${i}]`, "'pipe', 'ignore', 'inherit' or an Fd", s);
  });
  if (o.stdio && o.stdio.length !== 3) fail('stdio', 'stdin, stdout and stderr', o.stdio);
}

function checkMount(m: Mount, i: number): void {
  const path = `mounts[${i}]`;
  if (!MOUNT_TYPES.includes(m.type)) fail(`${path}.type`, `one of ${MOUNT_TYPES.join(', ')}`, m.type);
  absolute(m.target, `${path}.target`);
  if (m.target.split('/').includes('..')) fail(`${path}.target`, 'a path without ".."', m.target);
  if (m.type === 'bind' && !Fd.is(m.source)) absolute(m.source, `${path}.source`);
  if (m.type === 'tmpfs' && m.size !== undefined) integer(m.size, `${path}.size`, 1, Number.MAX_SAFE_INTEGER);
  if (m.type === 'tmpfs' && m.mode !== undefined) integer(m.mode, `${path}.mode`, 0, 0o7777);
}

function checkMaps(maps: readonly IdMap[], path: string, starting: number): void {
  if (!Array.isArray(maps) || maps.length === 0) fail(path, 'a non-empty array of id maps', maps);
  maps.forEach((m, i) => {
    integer(m.containerId, `${path}[${i}].containerId`, 0, MAX_ID);
    integer(m.hostId, `${path}[${i}].hostId`, 0, MAX_ID);
    integer(m.size, `${path}[${i}].size`, 1, MAX_ID);
  });
  if (!maps.some((m: IdMap) => m.containerId <= starting && starting < m.containerId + m.size))
    fail(path, `a map that contains id ${starting}, with which the process starts inside`, maps);
}

function checkNamespaces(o: SpawnOptions): void {
  const ns = o.namespaces ?? {};
  checkKeys(ns, NAMESPACE_KINDS, 'namespaces');
  for (const [kind, value] of Object.entries(ns))
    if (value !== 'new' && value !== 'host' && !Fd.is(value)) fail(`namespaces.${kind}`, "'new', 'host' or an Fd", value);
  const needsMount = (['root', 'mounts', 'maskedPaths', 'readonlyPaths', 'readOnlyRoot'] as const).find(
    (k) => o[k] !== undefined && o[k] !== false,
  );
  if (needsMount && ns.mount !== 'new') fail('namespaces.mount', `'new', since ${needsMount} is given`, ns.mount);
  if ((o.hostname !== undefined || o.domainname !== undefined) && ns.uts !== 'new')
    fail('namespaces.uts', "'new', since a host name is given", ns.uts);
  // The one who joins a pid namespace is made by a process in between, whose child the maps could not be written for.
  if (Fd.is(ns.pid) && ns.user === 'new') fail('namespaces.pid', "'new' or 'host', since a user namespace is made", ns.pid);
  if (o.idMaps && ns.user !== 'new') fail('namespaces.user', "'new', since idMaps is given", ns.user);
}

/** @throws InvalidArgumentError */
export function checkSpawnOptions(o: SpawnOptions): void {
  if (typeof o !== 'object' || o === null) fail('options', 'an object', o);
  checkKeys(o, SPAWN_KEYS, '');
  checkProgram(o);
  checkNamespaces(o);
  if (o.idMaps) {
    checkMaps(o.idMaps.uid, 'idMaps.uid', 0);
    checkMaps(o.idMaps.gid, 'idMaps.gid', 0);
  }
  o.mounts?.forEach(checkMount);
  for (const key of ['maskedPaths', 'readonlyPaths'] as const)
    o[key]?.forEach((p, i) => {
      absolute(p, `${key}[${i}]`);
    });
  for (const key of ['hostname', 'domainname'] as const) if (o[key] !== undefined) text(o[key], key, MAX_NAME);
}

/** @throws InvalidArgumentError */
export function checkEnterOptions(o: EnterOptions): void {
  if (typeof o !== 'object' || o === null) fail('options', 'an object', o);
  checkKeys(o, ENTER_KEYS, '');
  checkProgram(o);
  o.namespaces?.forEach((kind, i) => {
    if (!NAMESPACE_KINDS.includes(kind)) fail(`namespaces[${i}]`, `one of ${NAMESPACE_KINDS.join(', ')}`, kind);
  });
}
