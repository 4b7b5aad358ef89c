// The public words of spawn(): what a process can be given.
import type { Fd } from '@ctr/internal/fd';
import type { Step } from '@ctr/internal/steps';
import type { CapabilitySets } from '../capabilities.js';
import type { HintSource } from '../launcher/start-error.js';
import type { NamespaceChoice } from '../namespaces/join.js';
import type { TimeOffsets } from '../namespaces/time-offsets.js';
import type { NamespaceKind } from '../plan/clone-flags.js';
import type { Rlimit } from '../rlimits.js';
import type { SeccompFilter } from '../seccomp/load.js';
import type { TerminalSize } from '../terminal/size.js';
import type { IdMaps } from '../userns/id-map.js';
import type { ProcessAttributes } from './attributes.js';

/** Ids of the program. `groups` are the supplementary groups, none by default; `umask` is 0o022 by default. */
export interface User {
  uid: number;
  gid: number;
  groups?: number[];
  umask?: number;
}

/** Flags that every mount may have. */
export interface MountFlags {
  readOnly?: boolean;
  nosuid?: boolean;
  nodev?: boolean;
  noexec?: boolean;
  noatime?: boolean;
  /**
   * Further words as OCI and mount(8) have them: 'nosuid', 'suid', 'strictatime', 'nosymfollow' …; with an r before them
   * for all mounts below ('rro', 'rnosuid' …); 'rslave' and its kin; for a new file system its own, such as 'size=64m'. Later
   * words win. What the kernel does not know is an error of the start.
   */
  options?: readonly string[];
}

/**
 * A folder or file of the host, or what the caller holds open, at `target` inside. A descriptor is of a folder, of a
 * file or of a detached mount (fsmount(2), open_tree(2)); it is borrowed until the start, and needs CAP_SYS_ADMIN outside.
 */
export interface BindMount extends MountFlags {
  type: 'bind';
  source: string | Fd;
  target: string;
  /** With all mounts below it; default true. Read-only then holds for all of them (mount_setattr(2), AT_RECURSIVE). */
  recursive?: boolean;
  /**
   * A user namespace by whose maps owners are seen: id 0 on disk is the id outside to which that namespace maps its root.
   * Needs CAP_SYS_ADMIN outside, and a file system that knows mapped ids (mount_setattr(2), MOUNT_ATTR_IDMAP). Default: none.
   */
  idMap?: Fd;
  /**
   * Default 'private'. 'slave': what the host mounts below the source later is seen here; 'shared': the other way round too, where the
   * host's own mount is shared. 'unbindable': private, and not to be bound again.
   */
  propagation?: 'private' | 'slave' | 'shared' | 'unbindable';
}

/** An empty file system in memory. */
export interface TmpfsMount extends MountFlags {
  type: 'tmpfs';
  target: string;
  /** Bytes; default half of the memory, as the kernel has it. */
  size?: number;
  /** Default 0o1777. */
  mode?: number;
  /** Begin with a copy of what is at the target: OCI's 'tmpcopyup'. Without `mode` it has the target's own. Default false. */
  copyUp?: boolean;
}

/** A file system of the kernel: `dev` is the container's own /dev with the OCI default devices. */
export interface KernelMount extends MountFlags {
  type: 'proc' | 'sysfs' | 'devpts' | 'mqueue' | 'dev' | 'cgroup';
  target: string;
}

/** Any file system that the kernel has and this process may mount. */
export interface FileSystemMount extends MountFlags {
  type: 'filesystem';
  /** Its name, such as 'ext4' or 'overlay'. */
  fileSystem: string;
  /** The device or whatever else it is of, as seen from the host. Default 'none'. */
  source?: string;
  target: string;
}

/** Changes a mount that is there: flags and words for the mount, and such as 'size=64m' for its file system. */
export interface Remount extends MountFlags {
  type: 'remount';
  target: string;
}

export type Mount = BindMount | TmpfsMount | KernelMount | FileSystemMount | Remount;

/**
 * A device file. In a new user namespace, where none but a FIFO can be made, the host's own is shown: it must be the same device, and what is
 * said of its mode and owner must be so already, or it is refused before anything is done.
 */
export interface Device {
  /** Absolute path inside. */
  path: string;
  /** Character device (also 'u'), block device or FIFO. */
  type: 'c' | 'u' | 'b' | 'p';
  /** Of a device. */
  major?: number;
  minor?: number;
  /** Default 0o666; where the host's is shown: as that is. */
  fileMode?: number;
  /** Default 0; where the host's is shown: as that is. */
  uid?: number;
  gid?: number;
  /** The host's device that is shown where none can be made. Default: that of the same path. */
  source?: string;
}

/** How a process enters its control groups; `@ctr/cgroups` makes it. Plain data. */
export interface CgroupEntry {
  /** In the monitor before the clone: make the groups, set the limits, open what `setup` and `cloneInto` name. */
  prepare: readonly Step[];
  /**
   * In the monitor, at the latest when the process is about to do `setup`: what can be made while it makes its namespaces. Opens nothing that
   * `setup` uses. Default: nothing.
   */
  beside?: readonly Step[];
  /** What the new process does before it uses anything; where `beside` is given, after its namespaces. */
  setup: readonly Step[];
  /** Slot of a cgroup v2 directory, for CLONE_INTO_CGROUP. */
  cloneInto?: string;
  /**
   * False when no limit of memory is set: the process is then made a little faster. Otherwise the kernel could kill it
   * for memory before its program runs, and with it whoever shares its memory. Default true.
   */
  limitsMemory?: boolean;
  /** Beside SIGKILL to the process: cgroup.kill. */
  kill?: readonly Step[];
  collect: readonly Step[];
  cleanup: readonly Step[];
}

/** Where a standard stream goes: a pipe to this process, /dev/null, this process's own, or a descriptor (borrowed). */
export type Stdio = 'pipe' | 'ignore' | 'inherit' | Fd;

/** What a program gets, whether it is started in a new container or inside a running one. */
export interface ProgramOptions extends ProcessAttributes {
  /** The program and its arguments. A name without a slash is looked up in the PATH of `env` inside the new root. */
  args: readonly string[];
  /** What the program finds as its own name, `argv[0]`: '-sh' for a login shell. Default: `args[0]`, which is always what is looked up. */
  argv0?: string;
  /** The whole environment; nothing of this process's is added. Default: none. */
  env?: Readonly<Record<string, string>>;
  /** Working directory inside; default '/'. */
  cwd?: string;
  /** Make `cwd` when it is missing; default false. */
  createCwd?: boolean;
  /** Default: the ids of this process, or 0 in a new user namespace. */
  user?: User;
  /** Default: what the ids give, without change. */
  capabilities?: CapabilitySets;
  /** Default false. */
  noNewPrivileges?: boolean;
  /** A filter's program, from compileSeccomp or defaultSeccompFilter, alone or with flags and a listener; `undefined`: none. */
  seccomp?: Uint8Array | SeccompFilter;
  rlimits?: Readonly<Record<string, Rlimit>>;
  /** -1000 to 1000; lowering it needs CAP_SYS_RESOURCE. */
  oomScoreAdj?: number;
  /** stdin, stdout, stderr; default ['ignore', 'pipe', 'pipe']. */
  stdio?: readonly [Stdio, Stdio, Stdio];
  /**
   * A terminal of its own instead of `stdio`, as its controlling terminal; `true` is 80 columns and 24 rows. In a new
   * root it is made in the mount of type 'devpts', and shown as /dev/console in the one of type 'dev'.
   */
  tty?: boolean | TerminalSize;
  cgroup?: CgroupEntry;
  /** What is being done, the beginning of every error message; default 'start <program>'. */
  doing?: string;
  /** Gives the hint of an error from what failed. */
  hints?: HintSource;
  /**
   * Gives the start up when it fires: what was on its way is killed, and the call rejects with AbortError ABORT_ERR once nothing of it
   * is left. It does nothing to a program that runs. Default: none.
   */
  signal?: AbortSignal | undefined;
}

/** What spawn() takes. Everything that is not given stays as it is for this process. */
export interface SpawnOptions extends ProgramOptions {
  /**
   * For each kind 'new', 'host' (as it is), or the one to join: of a process (a handle or a pid), at a path such as
   * /run/netns/blue, or a descriptor, which is borrowed until the start. Default 'host' for each.
   */
  namespaces?: Readonly<Partial<Record<NamespaceKind, NamespaceChoice>>>;
  /**
   * For a new user namespace; default: this process's effective uid and gid become 0 inside. An ordinary user may map
   * the ranges of /etc/subuid and /etc/subgid too; see `rangeIdMaps` and `keepIdMaps`.
   */
  idMaps?: IdMaps;
  /** The clocks of a new time namespace, as seconds from the host's; default: the same. */
  timeOffsets?: TimeOffsets;
  /**
   * Nobody inside can make a further user namespace, whatever rights he has there. Needs namespaces.user: 'new', of which
   * two are made, one in the other. Default false.
   */
  disableUserNamespaces?: boolean;
  /**
   * Steps that leave a detached mount in `slot`, which becomes / by pivot_root. Needs namespaces.mount: 'new'. `temporary`: slots of further detached mounts that nothing needs once the root stands. They are carried off with the host's tree: to
   * close the last descriptor of a detached mount waits for an RCU grace period of its own.
   */
  root?: { steps: readonly Step[]; slot: string; temporary?: readonly string[] };
  /** Make / read-only once the targets of the mounts exist; default false. */
  readOnlyRoot?: boolean;
  /** In this order. */
  mounts?: readonly Mount[];
  /** Beside the default ones of a mount of type 'dev'. */
  devices?: readonly Device[];
  /**
   * Of / itself, once all is mounted; with an r before it for all mounts. Default: private. 'slave' and 'rslave': what the host
   * mounts below a folder that is the root is seen inside.
   */
  rootPropagation?: 'private' | 'rprivate' | 'slave' | 'rslave' | 'shared' | 'rshared' | 'unbindable' | 'runbindable';
  /**
   * The SELinux context of all files in the file systems that are made for it: those in memory, overlays, message queues and
   * terminals; `context=` of mount(8), OCI's `linux.mountLabel`. UnsupportedError where SELinux is not active. Default: as the policy has it.
   */
  mountLabel?: string;
  /** Paths that show nothing: a file as /dev/null, a folder as an empty one. Missing ones are left out. */
  maskedPaths?: readonly string[];
  /** Paths that become read-only. Missing ones are left out. */
  readonlyPaths?: readonly string[];
  /**
   * Kernel parameters of the namespaces that are not this process's own, such as { 'net.ipv4.ip_forward': '1' }: net.* with
   * a network namespace, kernel.shm*, kernel.msg*, kernel.sem and fs.mqueue.* with an ipc namespace, user.max_* with a user namespace, and since
   * Linux 6.14 kernel.pid_max with a pid namespace. Others are the host's, and refused.
   */
  sysctls?: Readonly<Record<string, string>>;
  /**
   * Put a tiny first process before the program, which passes signals on to it, takes in what others leave behind and ends as
   * it does (with 128 and the signal's number when one ended it). Default false: the program is the first process itself, gets
   * only signals that it handles, and must reap. Needs namespaces.pid: 'new'.
   */
  init?: boolean;
  hostname?: string;
  domainname?: string;
  /**
   * Bring up `lo` in a new network namespace; default true. Such a namespace of the host's user namespace may have been made ahead: what it
   * takes of the kernel's memory is then not counted to the cgroup.
   */
  loopback?: boolean;
  /** Further steps in the monitor before the clone and after the death; see Plan. */
  prepare?: readonly Step[];
  /** As {@link CgroupEntry.beside}: at the latest before the root's steps. */
  beside?: readonly Step[];
  cleanup?: readonly Step[];
}

/** What enter() takes: a further program inside a running process's namespaces. */
export interface EnterOptions extends Omit<ProgramOptions, 'notifySocket'> {
  /** Which namespaces to join; default: all in which the target differs from this process. */
  namespaces?: readonly NamespaceKind[];
  /** The processors to run on until it is in its cgroup, where `cpuAffinity` takes over: OCI's `execCPUAffinity.initial`. */
  initialCpuAffinity?: string;
}
