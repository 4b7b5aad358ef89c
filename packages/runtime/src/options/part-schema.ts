// The tables behind part-options.ts and the small nodes that several options share.
import { isAbsolute, normalize } from 'node:path/posix';
import { CAPABILITIES, RLIMITS, type RlimitName } from '@ctr/namespaces';
import {
  boolean,
  either,
  integer,
  list,
  object,
  oneOf,
  optional,
  type Read,
  record,
  reject,
  type Schema,
  scalar,
  text,
  wordOf,
} from './schema.js';
import { bytes } from './units.js';

/** Highest user or group id: 2^32-1 means "no id" to the kernel. */
const MAX_ID = 2 ** 32 - 2;
export const id = integer(0, MAX_ID, 'an id from 0 to 4294967294');

/** An absolute path in its shortest form; '..' is refused rather than guessed at. */
export function absolutePath(expected: string): Schema<string> {
  const node = text(expected);
  return {
    expected,
    read: (value, path) => {
      const given = node.read(value, path);
      if (!isAbsolute(given)) return reject(path, expected, value);
      if (given.split('/').includes('..')) return reject(path, `${expected}, without ".."`, value);
      return normalize(given).replace(/(?<=.)\/+$/, '');
    },
  };
}

/** Places that are the runtime's own: a mount there would hide what the masks and read-only paths protect (CVE-2019-16884). */
const OWN_PLACES = [
  /^\/$/,
  /^\/proc(?:\/|$)/,
  /^\/sys(?:\/|$)/,
  /^\/dev(?:\/(?:pts|mqueue|null|zero|full|random|urandom|tty|console|ptmx))?$/,
];

export const mountTarget: Schema<string> = {
  expected: 'an absolute path inside the container',
  read(value, path) {
    const target = absolutePath(this.expected).read(value, path);
    if (OWN_PLACES.some((place) => place.test(target)))
      return reject(path, `${this.expected}, outside of /, /proc, /sys and the devices`, value);
    return target;
  },
};

const mode = integer(0, 0o7777, 'a file mode from 0 to 0o7777');
const propagation = oneOf('private', 'slave', 'shared');

const bind = object(
  'a bind mount',
  {
    type: oneOf('bind'),
    source: absolutePath('an absolute path on the host'),
    target: mountTarget,
    readOnly: optional(boolean),
    recursive: optional(boolean),
    propagation: optional(propagation),
    noexec: optional(boolean),
  },
  { src: 'source', dst: 'target', destination: 'target', readonly: 'readOnly', ro: 'readOnly' },
); // prettier-ignore

const tmpfs = object(
  'a tmpfs mount',
  {
    type: oneOf('tmpfs'),
    target: mountTarget,
    size: optional(bytes(4096)),
    mode: optional(mode),
    readOnly: optional(boolean),
    noexec: optional(boolean),
  },
  { dst: 'target', destination: 'target', readonly: 'readOnly' },
); // prettier-ignore

/** The field "type" decides which table the rest is read by, so that a message speaks of the right one. */
export const mount: Schema<MountSpec> = {
  expected: 'a mount such as { type: "bind", source: "/data", target: "/data" }',
  read(value, path) {
    const kind = oneOf('bind', 'tmpfs');
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return reject(path, this.expected, value);
    const type = Object.getOwnPropertyDescriptor(value, 'type')?.value as unknown;
    return kind.read(type, `${path}.type`) === 'bind' ? bind.read(value, path) : tmpfs.read(value, path);
  },
};
export type MountSpec = ReturnType<(typeof bind)['read']> | ReturnType<(typeof tmpfs)['read']>;

/** The short form of tmpfs: only a size, or size and mode. */
export const tmpfsShort = either(
  'a size such as "64m", or { size, mode }',
  bytes(4096),
  object('{ size, mode }', { size: optional(bytes(4096)), mode: optional(mode) }),
);

const deviceTarget: Schema<string> = {
  expected: 'an absolute path below /dev inside the container',
  read(value, path) {
    const target = mountTarget.read(value, path);
    return target.startsWith('/dev/') ? target : reject(path, this.expected, value);
  },
};
const access = text('letters of rwm', { pattern: /^(?:r?w?m?|r?m?w?|w?r?m?|w?m?r?|m?r?w?|m?w?r?)$/ });
const deviceObject = object(
  '{ source, target, access }',
  { source: absolutePath('an absolute path on the host'), target: optional(deviceTarget), access: optional(access) },
  {
    pathonhost: 'source',
    pathincontainer: 'target',
    cgrouppermissions: 'access',
    path: 'source',
    permissions: 'access',
  },
);

/** Docker's short form: source, target and access between colons, where a second part of the letters rwm alone is the access. */
const deviceWords: Schema<Read<typeof deviceObject>> = {
  expected: 'a device such as "/dev/fuse" or "/dev/sda:/dev/disk:r"',
  couldTake: (value) => typeof value === 'string',
  read(value, path) {
    if (typeof value !== 'string') return reject(path, this.expected, value);
    const [source, second, third, ...more] = value.split(':');
    if (more.length > 0) return reject(path, this.expected, value);
    const short = third === undefined && second !== undefined && /^[rwm]+$/.test(second);
    return deviceObject.read({ source, ...(short ? { access: second } : { target: second, access: third }) }, path);
  },
};
const device = either('a device such as "/dev/fuse", or { source, target, access }', deviceWords, deviceObject);
export const devices = list('an array of devices', device, 256);

const cpuList = text('a list of numbers such as "0-3,6"', { max: 1024, pattern: /^\d{1,5}(?:-\d{1,5})?(?:,\d{1,5}(?:-\d{1,5})?)*$/ });
const unifiedName = text('the name of a cgroup v2 file such as "memory.min"', { max: 64, pattern: /^[a-z0-9_]+(?:\.[a-z0-9_]+)+$/ });

/** The kernel allows a quota of at least 1 ms in 100 ms. */
const cores = scalar('a number of cores from 0.01 to 8192', (v) => (typeof v === 'number' && v >= 0.01 && v <= 8192 ? v : undefined));

export const resources = object(
  'an object of limits',
  {
    cpus: optional(cores),
    cpuWeight: optional(integer(1, 10_000)),
    cpusetCpus: optional(cpuList),
    cpusetMems: optional(cpuList),
    // Below this the kernel cannot even start the program.
    memory: optional(bytes(2 ** 20)),
    memoryReservation: optional(bytes()),
    memoryHigh: optional(bytes(2 ** 20)),
    memorySwap: optional(bytes()),
    pids: optional(either('a whole number from 1 to 4194304, or "unlimited"', integer(1, 4_194_304), oneOf('unlimited'))),
    oomGroup: optional(boolean),
    devices: optional(oneOf('default', 'all')),
    unified: optional(
      record('an object of cgroup v2 files', unifiedName, text('text for a cgroup file', { max: 4000, pattern: /^[^\n\r]+$/ }), 64),
    ),
  },
  { pidslimit: 'pids', cpu: 'cpus', cpushares: 'cpuWeight', mem: 'memory', swap: 'memorySwap', cpuset: 'cpusetCpus' },
); // prettier-ignore

const withPrefix = (name: string): string => `CAP_${name.toUpperCase().replace(/^CAP_/, '')}`;
const capabilityName = wordOf('a capability such as "NET_ADMIN", or "ALL"', [...CAPABILITIES, 'CAP_ALL'], withPrefix);

export const capabilities = object('{ add, drop }', {
  add: optional(list('an array of capabilities', capabilityName, 64)),
  drop: optional(either('"all" or an array of capabilities', oneOf('all'), list('an array of capabilities', capabilityName, 64))),
});

const RLIMIT_NAMES = Object.keys(RLIMITS) as RlimitName[];
const rlimit = either('a whole number or "unlimited"', integer(0, Number.MAX_SAFE_INTEGER), oneOf('unlimited'));
const rlimitPair = object('{ soft, hard }', { soft: rlimit, hard: rlimit });
export const ulimits = record(
  'an object of process limits',
  wordOf('a process limit such as "nofile"', RLIMIT_NAMES),
  either('a whole number, "unlimited" or { soft, hard }', rlimit, rlimitPair),
  RLIMIT_NAMES.length,
);

const idMap = object('{ containerId, hostId, size }', { containerId: id, hostId: id, size: integer(1, MAX_ID) });
/** The kernel takes 340 extents since Linux 4.15. */
const idMaps = list('an array of { containerId, hostId, size }', idMap, 340, 1);
export const userns = either(
  '"host", "auto", "keep-id" or { uidMap, gidMap }',
  oneOf('host', 'auto', 'keep-id'),
  object('{ uidMap, gidMap }', { uidMap: idMaps, gidMap: idMaps }),
);

export const userObject = object('{ uid, gid, groups, umask }', {
  uid: id,
  gid: optional(id),
  groups: optional(list('an array of group ids', id, 65_536)),
  umask: optional(integer(0, 0o777, 'a file mode mask from 0 to 0o777')),
});
