// The table of all options of runContainer() and exec(): what each one may be. Reading it makes the snapshot
// that everything after it works on.
import { Readable, Writable } from 'node:stream';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import type { Image, ImageStore, PullOptions } from '@ctr/image';
import { Fd } from '@ctr/internal/fd';
import type { OciProcess, OciSpec } from '../oci/types.js';
import { EXEC_ALIASES, RUN_ALIASES } from './aliases.js';
import {
  absolutePath,
  capabilities,
  devices,
  mount,
  mountTarget,
  resources,
  tmpfsShort,
  ulimits,
  userns,
  userObject,
} from './part-schema.js';
import { PULL_FIELDS } from './pull-schema.js';
import {
  boolean,
  either,
  integer,
  list,
  live,
  MAX_ARGUMENT,
  object,
  oneOf,
  optional,
  type Read,
  record,
  type Schema,
  scalar,
  text,
} from './schema.js';
import { seccompProfile } from './seccomp-schema.js';
import { bytes, duration, signalName } from './units.js';

const has = (value: unknown, ...methods: string[]): boolean =>
  typeof value === 'object' && value !== null && methods.every((m) => typeof (value as Record<string, unknown>)[m] === 'function');

const fd = live<Fd>('an open Fd', (v) => Fd.is(v) && !v.closed);
const inStream = live<Readable | ReadableStream>(
  'a readable stream',
  (v) => v instanceof Readable || has(v, 'getReader', 'tee') || has(v, 'pipe', 'read'),
);
const outStream = live<Writable | WritableStream>(
  'a writable stream',
  (v) => v instanceof Writable || has(v, 'getWriter', 'abort') || has(v, 'write', 'end'),
);
const word = oneOf('pipe', 'ignore', 'inherit');
const stdin = either('"pipe", "ignore", "inherit", a readable stream or an Fd (text goes into "input")', word, fd, inStream);
const output = either('"pipe", "ignore", "inherit", a writable stream or an Fd', word, fd, outStream);

const argument = text('text', { min: 0, max: MAX_ARGUMENT });
export const command = list('an array of texts', argument, 65_536);
const variable = text('the name of an environment variable', { max: 4096, pattern: /^[^=]+$/s });
const words = { type: text('text', { min: 0, max: 65_536 }), key: text('a name', { max: 256 }) };

/** A copy, so that the bytes cannot change after they were given. */
const input = either(
  'text or bytes',
  live<string>('text', (v) => typeof v === 'string'),
  scalar('bytes', (v) => (v instanceof Uint8Array ? new Uint8Array(v) : undefined)),
);

const PROCESS = {
  env: optional(record('an object of environment variables', variable, optional(argument))),
  cwd: optional(absolutePath('an absolute path inside the container')),
  user: optional(either('a user such as "1000", "name:group" or { uid, gid }', text('a user', { max: 256 }), userObject)),
  stdin: optional(stdin),
  input: optional(input),
  stdout: optional(output),
  stderr: optional(output),
  tty: optional(
    either(
      'true, false or { columns, rows }',
      boolean,
      object('{ columns, rows }', { columns: integer(1, 65_535), rows: integer(1, 65_535) }),
    ),
  ),
  maxBuffer: optional(bytes()),
  encoding: optional(live<BufferEncoding>('an encoding such as "utf8"', (v) => typeof v === 'string' && Buffer.isEncoding(v))),
  signal: optional(live<AbortSignal>('an AbortSignal', (v) => has(v, 'addEventListener', 'throwIfAborted'))),
  timeout: optional(duration(1)),
  killSignal: optional(signalName),
};

const containerName = text('a name of letters, digits and _ + . -, not beginning with a dot', {
  max: 128,
  pattern: /^[A-Za-z0-9_+-][A-Za-z0-9_.+-]*$/,
});
const hostName = text('a host name of letters, digits, dots and dashes', {
  max: 64,
  pattern: /^[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?$/,
});
const namespacePlace = either(
  '"new", "host", the path of a namespace or an Fd',
  oneOf('new', 'host'),
  fd,
  absolutePath('the path of a namespace'),
);

const image: Schema<string | Image> = either(
  'a reference such as "debian:12", or an Image',
  text('a reference such as "debian:12"', { max: 1024 }),
  live<Image>('an Image', (v) => typeof v === 'object' && v !== null && 'digest' in v && 'layers' in v && 'config' in v),
);

const callback = <F>(expected: string): Schema<F> => live<F>(expected, (v) => typeof v === 'function');

/** As for a limit of memory; a file system of its own needs some of it. */
const MIN_LAYER = 2 ** 20;

export const runSchema = object(
  'an object of options',
  {
    ...PROCESS,
    image: optional(image),
    rootfs: optional(either('"host" or the absolute path of a folder', oneOf('host'), absolutePath('the absolute path of a folder'))),
    command: optional(command),
    entrypoint: optional(
      either(
        'an array of texts, or null',
        command,
        scalar('null', (v) => (v === null ? ([] as readonly string[]) : undefined)),
      ),
    ),
    name: optional(containerName),
    hostname: optional(hostName),
    domainname: optional(hostName),
    labels: optional(record('an object of texts', words.key, words.type)),
    stopSignal: optional(signalName),
    stopTimeout: optional(duration(0)),
    execSlots: optional(integer(0, 64)),
    pull: optional(oneOf('missing', 'always', 'never')),
    platform: optional(text('a platform such as "linux/amd64"', { max: 64, pattern: /^linux\/[a-z0-9]+(?:\/[a-z0-9]+)?$/ })),
    ...PULL_FIELDS,
    onProgress: optional(callback<NonNullable<PullOptions['onProgress']>>('a function')),
    store: optional(live<ImageStore>('an ImageStore', (v) => has(v, 'pull', 'find', 'unpack'))),
    mounts: optional(list('an array of mounts', mount, 1024)),
    tmpfs: optional(record('an object of targets and sizes', mountTarget, tmpfsShort, 1024)),
    readOnly: optional(boolean),
    writable: optional(
      either(
        '"memory", "disk" or { on, size }',
        oneOf('memory', 'disk'),
        object('{ on, size }', { on: optional(oneOf('memory', 'disk')), size: optional(bytes(MIN_LAYER)) }),
      ),
    ),
    init: optional(boolean),
    sysctls: optional(record('an object of kernel parameters', text('a name such as "net.ipv4.ip_forward"', { max: 256 }), words.type)),
    maskedPaths: optional(list('an array of absolute paths', absolutePath('an absolute path'), 1024)),
    readonlyPaths: optional(list('an array of absolute paths', absolutePath('an absolute path'), 1024)),
    resources: optional(resources),
    devices: optional(devices),
    ulimits: optional(ulimits),
    oomScoreAdj: optional(integer(-1000, 1000)),
    preset: optional(oneOf('sandbox', 'docker')),
    network: optional(oneOf('none', 'host')),
    userns: optional(userns),
    namespaces: optional(
      record('an object of namespaces', oneOf('pid', 'mount', 'network', 'ipc', 'uts', 'user', 'cgroup', 'time'), namespacePlace),
    ),
    capabilities: optional(capabilities),
    noNewPrivileges: optional(boolean),
    seccomp: optional(either('"default", "unconfined" or an OCI profile', oneOf('default', 'unconfined'), seccompProfile)),
    spec: optional(callback<(oci: OciSpec) => OciSpec | undefined>('a function')),
  },
  RUN_ALIASES,
); // prettier-ignore

export const execSchema = object(
  'an object of options',
  { ...PROCESS, process: optional(callback<(process: OciProcess) => OciProcess | undefined>('a function')) },
  EXEC_ALIASES,
);

/** The snapshot of one call's options: checked, and out of the caller's reach. */
export type RunSpec = Read<typeof runSchema>;
export type ExecSpec = Read<typeof execSchema>;
