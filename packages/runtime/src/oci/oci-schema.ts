// The table of the OCI fields that are understood: what a `spec` hook returns is read by it. A field that would be
// ignored is refused, because a container without it could be less safe than was asked for.
import { absolutePath, id } from '../options/part-schema.js';
import { boolean, integer, list, MAX_ARGUMENT, object, oneOf, optional, record, type Schema, scalar, text } from '../options/schema.js';
import { seccompProfile } from '../options/seccomp-schema.js';
import type { OciSpec } from './types.js';

const NOT_YET = 'this field of the OCI specification is not supported yet';
const later = (...names: string[]): Record<string, string> => Object.fromEntries(names.map((name) => [name.toLowerCase(), NOT_YET]));

const line = text('text', { min: 0, max: MAX_ARGUMENT });
const texts = list('an array of texts', line, 65_536);
const paths = list('an array of absolute paths', absolutePath('an absolute path'), 1024);
const whole = integer(0, Number.MAX_SAFE_INTEGER);
/** Up to 2^64, "no limit", which is no safe integer. */
const limit = scalar('a whole number', (v) => (typeof v === 'number' && v >= 0 && Number.isInteger(v) ? v : undefined));
const idMaps = list('an array of id maps', object('an id map', { containerID: id, hostID: id, size: integer(1, 2 ** 32 - 1) }), 340, 1);
const plainRecord = (expected: string): Schema<Record<string, string>> => {
  const node = record(expected, text('a name', { max: 256 }), line);
  return { expected, read: (value, path) => Object.fromEntries(node.read(value, path)) };
};

const process = object(
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
      object('the five sets', { bounding: texts, effective: texts, permitted: texts, inheritable: texts, ambient: texts }),
    ),
    rlimits: optional(
      list(
        'an array of limits',
        object('a limit', { type: text('RLIMIT_…', { pattern: /^RLIMIT_[A-Z]+$/ }), soft: limit, hard: limit }),
        16,
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

const deviceRule = object('a device rule', {
  allow: boolean,
  type: optional(oneOf('a', 'b', 'c')),
  major: optional(whole),
  minor: optional(whole),
  access: optional(text('letters of rwm', { pattern: /^[rwm]+$/ })),
});

const resources = object(
  'limits',
  {
    devices: optional(list('an array of device rules', deviceRule, 1024)),
    memory: optional(
      object(
        'memory limits',
        { limit: optional(whole), reservation: optional(whole), swap: optional(whole) },
        later('kernel', 'kernelTCP', 'swappiness', 'disableOOMKiller', 'useHierarchy', 'checkBeforeUpdate'),
      ),
    ),
    cpu: optional(
      object(
        'CPU limits',
        { quota: optional(whole), period: optional(whole), cpus: optional(line), mems: optional(line) },
        { ...later('burst', 'realtimeRuntime', 'realtimePeriod', 'idle'), shares: 'use unified: { "cpu.weight": … }' },
      ),
    ),
    pids: optional(object('the limit of processes', { limit: whole })),
    unified: optional(plainRecord('an object of cgroup v2 files')),
  },
  later('blockIO', 'hugepageLimits', 'network', 'rdma'),
); // prettier-ignore

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

const linux = object(
  'the Linux part',
  {
    namespaces: list('an array of namespaces', namespace, 8),
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
  },
  later('netDevices', 'intelRdt', 'timeOffsets'),
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
    process,
    hostname: optional(text('a host name', { max: 64 })),
    domainname: optional(text('a domain name', { max: 64 })),
    mounts: list('an array of mounts', mount, 1024),
    annotations: optional(plainRecord('an object of texts')),
    linux,
  },
  later('hooks', 'solaris', 'windows', 'vm', 'zos'),
) as unknown as Schema<OciSpec>; // prettier-ignore
