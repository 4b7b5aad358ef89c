// The table of the OCI fields that are understood: what a `spec` hook returns is read by it. A field that would be
// ignored is refused, because a container without it could be less safe than was asked for.
import { absolutePath, id } from '../options/part-schema.js';
import {
  boolean,
  integer,
  isPlainObject,
  list,
  MAX_ARGUMENT,
  object,
  oneOf,
  optional,
  record,
  reject,
  type Schema,
  scalar,
  text,
} from '../options/schema.js';
import { seccompProfile } from '../options/seccomp-schema.js';
import type { OciSpec } from './types.js';

const ELSEWHERE = 'this part of the specification is of another platform than Linux containers';

/** What says nothing while it is empty, as generators of configurations write it, and is refused by its reason when it says something. */
function onlyEmpty(reason: string): Schema<undefined> {
  const expected = 'left out, or empty';
  const emptyList = (value: unknown): boolean => value === undefined || (Array.isArray(value) && value.length === 0);
  const saysNothing = (value: unknown): boolean => isPlainObject(value) && Object.values(value).every(emptyList);
  return {
    expected,
    mayBeAbsent: true,
    read: (value, path) => (value === undefined || saysNothing(value) ? undefined : reject(path, expected, value, reason)),
  };
}

/** "Duplicated entries MUST generate an error": of two, one would silently not be. */
function eachOnce<T extends { readonly type: string }>(node: Schema<readonly T[]>): Schema<readonly T[]> {
  return {
    ...node,
    read: (value, path) => {
      const all = node.read(value, path);
      const again = all.findIndex((entry, i) => all.findIndex((other) => other.type === entry.type) < i);
      return again < 0 ? all : reject(`${path}[${again}].type`, 'a type that is not listed before', all[again]?.type);
    },
  };
}

const line = text('text', { min: 0, max: MAX_ARGUMENT });
const texts = list('an array of texts', line, 65_536);
const paths = list('an array of absolute paths', absolutePath('an absolute path'), 1024);
const whole = integer(0, Number.MAX_SAFE_INTEGER);
/** Up to 2^64, "no limit", which is no safe integer. */
const limit = scalar('a whole number', (v) => (typeof v === 'number' && v >= 0 && Number.isInteger(v) ? v : undefined));
const idMaps = list('an array of id maps', object('an id map', { containerID: id, hostID: id, size: integer(1, 2 ** 32 - 1) }), 340, 1);
const plain = <T>(node: Schema<ReadonlyMap<string, T>>): Schema<Record<string, T>> => ({
  expected: node.expected,
  read: (value, path) => Object.fromEntries(node.read(value, path)),
});
const plainRecord = (expected: string): Schema<Record<string, string>> => plain(record(expected, text('a name', { max: 256 }), line));

export const processSchema = object(
  'the process',
  {
    terminal: optional(boolean),
    consoleSize: optional(object('the size of the terminal', { height: integer(1, 65_535), width: integer(1, 65_535) })),
    user: object('the user', {
      uid: id,
      gid: id,
      umask: optional(integer(0, 0o777)),
      additionalGids: optional(list('an array of group ids', id, 65_536)),
    }),
    args: list('an array of texts with a program first', line, 65_536, 1),
    env: list('an array of NAME=value', text('NAME=value', { max: MAX_ARGUMENT, pattern: /^[^=]+=/s }), 4096),
    cwd: absolutePath('an absolute path inside the container'),
    capabilities: optional(
      object('up to five sets', {
        bounding: optional(texts),
        effective: optional(texts),
        permitted: optional(texts),
        inheritable: optional(texts),
        ambient: optional(texts),
      }),
    ),
    rlimits: optional(
      eachOnce(
        list(
          'an array of limits',
          object('a limit', { type: text('RLIMIT_…', { pattern: /^RLIMIT_[A-Z]+$/ }), soft: limit, hard: limit }),
          32,
        ),
      ),
    ),
    noNewPrivileges: optional(boolean),
    oomScoreAdj: optional(integer(-1000, 1000)),
    // The words and ranges of these are the launcher's affair, which knows the kernel's own.
    scheduler: optional(
      object('the scheduler', {
        policy: line,
        nice: optional(integer(-20, 19)),
        priority: optional(integer(0, 99)),
        flags: optional(texts),
        runtime: optional(whole),
        deadline: optional(whole),
        period: optional(whole),
      }),
    ),
    ioPriority: optional(object('the I/O priority', { class: line, priority: optional(integer(0, 7)) })),
    execCPUAffinity: optional(object('sets of processors', { initial: optional(line), final: optional(line) })),
    apparmorProfile: optional(line),
    selinuxLabel: optional(line),
  },
  {},
); // prettier-ignore

const orNone = integer(-1, Number.MAX_SAFE_INTEGER, 'a whole number, or -1 for no limit');
const number = { major: integer(-1, 4095), minor: integer(-1, 1_048_575) };
const deviceRule = object('a device rule', {
  allow: boolean,
  type: optional(oneOf('a', 'b', 'c')),
  major: optional(number.major),
  minor: optional(number.minor),
  access: optional(text('letters of rwm', { pattern: /^[rwm]+$/ })),
});
const rates = optional(list('an array of rates', object('a device and its rate', { ...number, rate: whole }), 1024));
const weights = list(
  'an array of weights',
  object('a device and its weight', { ...number, weight: optional(integer(10, 1000)), leafWeight: optional(whole) }),
  1024,
);

/** The words of `resourcesFromOci`, which checks the values. */
const resources = object('limits', {
  devices: optional(list('an array of device rules', deviceRule, 1024)),
  memory: optional(
    object('memory limits', {
      limit: optional(orNone),
      reservation: optional(orNone),
      swap: optional(orNone),
      kernel: optional(orNone),
      kernelTCP: optional(orNone),
      swappiness: optional(integer(0, 100)),
      disableOOMKiller: optional(boolean),
      useHierarchy: optional(boolean),
      checkBeforeUpdate: optional(boolean),
    }),
  ),
  cpu: optional(
    object('CPU limits', {
      shares: optional(whole),
      quota: optional(orNone),
      burst: optional(whole),
      period: optional(whole),
      realtimeRuntime: optional(whole),
      realtimePeriod: optional(whole),
      cpus: optional(line),
      mems: optional(line),
      idle: optional(integer(0, 1)),
    }),
  ),
  blockIO: optional(
    object('limits of block devices', {
      weight: optional(integer(0, 1000)),
      leafWeight: optional(whole),
      weightDevice: optional(weights),
      throttleReadBpsDevice: rates,
      throttleWriteBpsDevice: rates,
      throttleReadIOPSDevice: rates,
      throttleWriteIOPSDevice: rates,
    }),
  ),
  hugepageLimits: optional(
    list('an array of limits on huge pages', object('a page size and its limit', { pageSize: line, limit: whole }), 16),
  ),
  network: optional(
    object('marks of packets', {
      classID: optional(integer(0, 0xffffffff)),
      priorities: optional(list('an array of priorities', object('an interface and its priority', { name: line, priority: whole }), 1024)),
    }),
  ),
  rdma: optional(
    plain(
      record(
        'an object of RDMA devices',
        text('a name', { max: 256 }),
        object('limits of a device', { hcaHandles: optional(whole), hcaObjects: optional(whole) }),
      ),
    ),
  ),
  pids: optional(object('the limit of processes', { limit: optional(orNone) })),
  unified: optional(plainRecord('an object of cgroup v2 files')),
});

const namespace = object('a namespace', {
  type: oneOf('pid', 'mount', 'network', 'ipc', 'uts', 'user', 'cgroup', 'time'),
  path: optional(absolutePath('the path of a namespace')),
});

const device = object('a device', {
  path: absolutePath('an absolute path inside the container'),
  type: oneOf('c', 'u', 'b', 'p'),
  major: optional(whole),
  minor: optional(whole),
  fileMode: optional(integer(0, 0o7777)),
  uid: optional(id),
  gid: optional(id),
});

const clock = object('an offset', {
  secs: optional(integer(-(2 ** 40), 2 ** 40)),
  nanosecs: optional(integer(0, 999_999_999)),
});

const linux = object(
  'the Linux part',
  {
    namespaces: eachOnce(list('an array of namespaces', namespace, 16)),
    uidMappings: optional(idMaps),
    gidMappings: optional(idMaps),
    cgroupsPath: optional(line),
    resources: optional(resources),
    seccomp: optional(seccompProfile),
    mountLabel: optional(line),
    maskedPaths: optional(paths),
    readonlyPaths: optional(paths),
    devices: optional(list('an array of devices', device, 1024)),
    sysctl: optional(plainRecord('an object of kernel parameters')),
    rootfsPropagation: optional(oneOf('private', 'rprivate', 'slave', 'rslave', 'shared', 'rshared', 'unbindable', 'runbindable')),
    memoryPolicy: optional(object('the memory policy', { mode: line, nodes: optional(line), flags: optional(texts) })),
    personality: optional(object('the personality', { domain: line, flags: optional(texts) })),
    timeOffsets: optional(object('the clocks', { monotonic: optional(clock), boottime: optional(clock) })),
    netDevices: onlyEmpty('a network device of the host is moved by: ip link set dev <name> netns <pid of the container>'),
    intelRdt: onlyEmpty(
      'classes of Intel RDT are the whole machine’s: make one in /sys/fs/resctrl and write the container’s pid to its "tasks"',
    ),
  },
  {},
); // prettier-ignore

const mount = object(
  'a mount',
  {
    destination: absolutePath('an absolute path inside the container'),
    type: optional(text('a type of file system', { max: 64 })),
    source: optional(text('a source')),
    options: optional(list('an array of words', text('a word', { max: 4095 }), 64)),
    uidMappings: optional(idMaps),
    gidMappings: optional(idMaps),
  },
  {},
); // prettier-ignore

export const ociSchema = object(
  'an OCI runtime-spec object',
  {
    ociVersion: text('a version', { max: 64 }),
    root: object('the root', { path: text('a path'), readonly: optional(boolean) }),
    process: processSchema,
    hostname: optional(text('a host name', { max: 64 })),
    domainname: optional(text('a domain name', { max: 64 })),
    mounts: list('an array of mounts', mount, 1024),
    annotations: optional(plainRecord('an object of texts')),
    linux,
    hooks: onlyEmpty('hooks are what this program does itself, before and after runContainer()'),
  },
  { solaris: ELSEWHERE, windows: ELSEWHERE, vm: ELSEWHERE, zos: ELSEWHERE },
) as unknown as Schema<OciSpec>; // prettier-ignore
