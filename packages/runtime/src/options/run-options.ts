// The public options of runContainer(): words of Docker's command line in camelCase, structure of OCI,
// streams and signals of node:child_process. Types only; the checks are in run-schema.ts.
import type { Readable, Writable } from 'node:stream';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import type { Image, ImageStore, PullOptions } from '@ctr/image';
import type { Fd } from '@ctr/internal/fd';
import type { OciSeccomp } from '@ctr/namespaces';
import type { OciProcess, OciSpec } from '../oci/types.js';
import type {
  CapabilityOptions,
  DeviceOptions,
  IdMapOption,
  MountOptions,
  NamespaceName,
  ResourceOptions,
  RlimitName,
  RlimitValue,
} from './part-options.js';
import type { PullOptionName } from './pull-schema.js';
import type { SignalName } from './units.js';

/** Milliseconds, or text such as '500ms', '30s', '1m30s', '2h'. */
export type Duration = number | string;

/**
 * Where the program's standard input comes from: a pipe, nothing (/dev/null), this process's own, a stream, or a
 * descriptor. An inherited terminal is copied through a pipe: the container never holds the terminal itself.
 */
export type StdinOption = 'pipe' | 'ignore' | 'inherit' | Readable | ReadableStream | Fd;

/** Where the program's output goes: a pipe, nowhere, to this process's own output, into a stream, or to a descriptor. */
export type OutputOption = 'pipe' | 'ignore' | 'inherit' | Writable | WritableStream | Fd;

/** A user and group: numbers, with the groups and the file mode mask to have. */
export interface UserOption {
  /** User id inside the container, 0 to 4294967294. */
  uid: number;
  /** Group id inside the container. Default: the one that the image's /etc/passwd has for the user, else 0. */
  gid?: number | undefined;
  /** Supplementary group ids. Default: none. */
  groups?: readonly number[] | undefined;
  /** File mode mask. Default: 0o022. */
  umask?: number | undefined;
}

/** What a started process needs, in a new container or in a running one. */
export interface ProcessOptions {
  /** Environment variables; `undefined` as a value takes away one that the image sets. Nothing of this process's environment is passed on. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Working directory inside the container. Default: the image's, else '/'. Made when it is missing. */
  cwd?: string | undefined;
  /** 'name', '1000', 'name:group' or '1000:1000', looked up in the image's own /etc/passwd and /etc/group, or numbers. Default: the image's, else 0. */
  user?: string | UserOption | undefined;
  /** Default: 'ignore', or a pipe when `input` is given. */
  stdin?: StdinOption | undefined;
  /** Text or bytes to write to the standard input, which is closed afterwards. */
  input?: string | Uint8Array | undefined;
  /** Default: 'pipe'. Somebody must read a pipe: the program stops when 64 KiB wait in it. `result()` and its kin do. */
  stdout?: OutputOption | undefined;
  /** Default: 'pipe'. */
  stderr?: OutputOption | undefined;
  /**
   * A terminal of its own, as its controlling terminal and as all three streams: `true` is 80 columns and 24 rows. Output
   * then comes by `stdout` alone. With `stdin` and `stdout` 'inherit' this process's own terminal is joined to it, raw and with
   * its size. TERM is 'xterm' unless set. Default: none, streams are pipes.
   */
  tty?: boolean | { columns: number; rows: number } | undefined;
  /** How many bytes of each stream `result()`, `text()` and `json()` keep before they kill the program and reject. Default: 16 MiB. */
  maxBuffer?: number | string | undefined;
  /** How `result()` and `text()` decode output. Default: 'utf8'. */
  encoding?: BufferEncoding | undefined;
  /** Kills the program when it fires; promises settle after the kernel has confirmed its death. */
  signal?: AbortSignal | undefined;
  /** Kills the program after this time; `reason` is then 'timeout'. Counted from the moment the program runs. Default: no limit. */
  timeout?: Duration | undefined;
  /** The signal that `signal` and `timeout` send. Default: 'SIGKILL'. */
  killSignal?: SignalName | undefined;
}

/**
 * How the registry is reached, as for `ImageStore.pull()`: `auth` (default: what docker and podman were logged in with), `insecure` (without
 * TLS, or with a certificate that nobody vouches for), `trustedOrigins`, `mirrors`, `proxy`, `tls`, `retry`, `idleTimeoutMs`; and `limits`, how
 * large a layer may be unpacked.
 */
export type RegistryPullOptions = { [K in keyof Pick<PullOptions, PullOptionName>]: PullOptions[K] | undefined };

/** Options of {@link runContainer}. Unknown keys are errors; all are checked before the host is touched. */
export interface RunOptions extends ProcessOptions, RegistryPullOptions {
  /** A reference such as 'debian:12' or 'registry.example/app@sha256:…', or an Image of @ctr/image. Either this or `rootfs`. */
  image?: string | Image | undefined;
  /**
   * A folder as the root, or 'host' for the machine's own tree, without what is mounted in it. It is never written to:
   * changes go to the writable layer. Without root, 'host' needs `readOnly`, and then shows what is mounted too.
   */
  rootfs?: string | undefined;
  /** Program and arguments; a text is never split. Default: the image's Cmd. */
  command?: readonly string[] | undefined;
  /** Goes before the command. Default: the image's. When it is given, the image's Cmd is left out; `null` takes the image's entrypoint away. */
  entrypoint?: readonly string[] | null | undefined;
  /** Name for messages and `inspect()`. Default: the id. */
  name?: string | undefined;
  /** Default: the first 12 letters of the id. */
  hostname?: string | undefined;
  /** NIS domain name. Default: none. */
  domainname?: string | undefined;
  /** Free words kept with the container, as OCI annotations. */
  labels?: Readonly<Record<string, string>> | undefined;
  /** The signal with which stop() asks. Default: the image's, else 'SIGTERM'. */
  stopSignal?: SignalName | undefined;
  /** How long stop() waits before it kills. Default: 10 s. */
  stopTimeout?: Duration | undefined;
  /**
   * How many processes wait inside for the next `exec()`, 0 to 64; default 0. Such an `exec()` starts in less than half the time. From the
   * first one on as many are made, a few milliseconds after a start, for programs with the options (`cwd`, `user`) that were used last;
   * a program with other options, with a terminal, or for which none is there, is started the usual way.
   *
   * They can be seen inside, as `ctr-parked`, count in `resources.pids` and take about 100 KiB of memory each. Somebody inside
   * can end or stop them; an `exec()` that meets a stopped one takes 100 ms longer. Namespaces, control groups and limits are those of the
   * moment at which the process was made.
   */
  execSlots?: number | undefined;

  /** Whether to ask the registry: only for a missing image (default), always, or never. */
  pull?: 'missing' | 'always' | 'never' | undefined;
  /** 'linux/amd64', 'linux/arm64/v8' … Default: this machine's. */
  platform?: string | undefined;
  /** Called with the progress of a pull. */
  onProgress?: PullOptions['onProgress'] | undefined;
  /** Where images are kept. Default: one store per user, see ImageStore.open(). */
  store?: ImageStore | undefined;

  /** Folders and memory file systems to mount. */
  mounts?: readonly MountOptions[] | undefined;
  /** Memory file systems: target -> size, such as { '/tmp': '64m' }. */
  tmpfs?: Readonly<Record<string, string | number | { size?: number | string | undefined; mode?: number | undefined }>> | undefined;
  /**
   * Devices of the host: '/dev/fuse', '/dev/sda:/dev/disk', '/dev/sda:r', '/dev/sda:/dev/disk:rw', or objects. A container with a user namespace of
   * its own is shown the host's device with the owner that it has there; as root it has the host's user namespace where `userns` is left out.
   */
  devices?: readonly (string | DeviceOptions)[] | undefined;
  /** No writing to the root; mounts stay as they are. Default: false. */
  readOnly?: boolean | undefined;
  /**
   * Where changes go: memory (counted to the container), or disk. Both end with the container. Default: memory where the kernel can, else
   * disk. `size` is the most that they may take, in bytes or text such as '2g', at least 1 MiB: a write beyond it fails with ENOSPC or
   * EDQUOT. Default: half of the machine's memory, or what the disk has. On disk it needs root and project quota on the file system,
   * or else loop devices and mkfs.ext4, whose own needs are then a part of it.
   */
  writable?: 'memory' | 'disk' | { on?: 'memory' | 'disk' | undefined; size?: number | string | undefined } | undefined;
  /**
   * A tiny first process before the command, which reaps what others leave behind and passes signals on. Default: false, the
   * command is the first process itself, as in Docker.
   */
  init?: boolean | undefined;
  /** Kernel parameters of the container's own namespaces, such as { 'net.ipv4.ip_forward': '1' }. Those of the host are refused. */
  sysctls?: Readonly<Record<string, string>> | undefined;
  /** Paths to hide. Default: what tells about or controls the host in /proc and /sys. */
  maskedPaths?: readonly string[] | undefined;
  /** Paths to make read-only. Default: /proc/sys and its kin. */
  readonlyPaths?: readonly string[] | undefined;

  /** Limits. A limit that the host cannot enforce is an error, never left out. */
  resources?: ResourceOptions | undefined;
  /** Process limits, by their names without RLIMIT_. Default: nofile 1024 (hard 524288), core 0, memlock 8 MiB. */
  ulimits?: Readonly<Partial<Record<RlimitName, RlimitValue>>> | undefined;
  /** -1000 to 1000: who dies first when memory runs out. Default: this process's. */
  oomScoreAdj?: number | undefined;

  /** 'sandbox' (default), or Docker's own defaults: more capabilities, no pids limit, no_new_privs off. */
  preset?: 'sandbox' | 'docker' | undefined;
  /** 'none': only loopback (default). 'host': the host's network, without any wall. */
  network?: 'none' | 'host' | undefined;
  /**
   * 'host': no user namespace, Docker's way. 'auto': one of the container's own; as root with a range of ids that nobody else
   * has, layers and binds with mapped ids; for others with their ranges of /etc/subuid, or their own id where they have none.
   * 'keep-id': as 'auto', with this user's own number. Or the maps.
   *
   * Default as root: 'auto'; but 'host' where that cannot be (before Linux 6.15, a root or a bind on a file system that cannot be
   * mounted with mapped ids, a user above 65535), and for a container that asks for what only the host's has: namespaces of the host or
   * of others, `rootfs: 'host'`, capabilities over the machine such as SYS_TIME, higher limits, `preset: 'docker'`. {@link explain} tells.
   * Default for others: their own id as root, their ranges when `user` is another one.
   */
  userns?: 'host' | 'auto' | 'keep-id' | { uidMap: readonly IdMapOption[]; gidMap: readonly IdMapOption[] } | undefined;
  /** Each namespace: a new one, the host's, or one to join, as path or descriptor. Default: 'new' for all but user and time. */
  namespaces?: Readonly<Partial<Record<NamespaceName, 'new' | 'host' | (string & {}) | Fd>>> | undefined;
  /** Added to and taken from the preset's capabilities. */
  capabilities?: CapabilityOptions | undefined;
  /** No program may gain privileges by set-id bits or file capabilities. Default: true. */
  noNewPrivileges?: boolean | undefined;
  /** The system call filter: ours, none, or an OCI profile. Default: 'default'. */
  seccomp?: 'default' | 'unconfined' | OciSeccomp | undefined;

  /** Called last with the OCI runtime-spec object that was made from all of this: change it or return another. */
  spec?: ((oci: OciSpec) => OciSpec | undefined) | undefined;
}

/** Options of {@link Container.exec}. */
export interface ExecOptions extends ProcessOptions {
  /**
   * Called last with the OCI process object that was made of the container's own and of the other options: capabilities, rlimits, the scheduler, labels and all else that
   * a process has can be others than the container's. Change it or return another. Such a program starts the usual way, without `execSlots`.
   */
  process?: ((process: OciProcess) => OciProcess | undefined) | undefined;
}
