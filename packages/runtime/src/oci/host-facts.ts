// What compiling has to know about the host. Plain data, so that compiling stays a pure function.
import type { SubIds } from '@ctr/namespaces';

export interface HostFacts {
  /** Effective ids of this process. */
  readonly uid: number;
  readonly gid: number;
  /** May make namespaces and mounts without a user namespace: has CAP_SYS_ADMIN. */
  readonly privileged: boolean;
  /** This process is in the machine's first user namespace, where overlayfs keeps its marks in trusted.* attributes. */
  readonly initialUserNamespace: boolean;
  /** Capabilities that this process may hand on. */
  readonly capabilities: readonly string[];
  /** Hard limits of this process, by name; what is not there is unlimited. */
  readonly hardLimits: Readonly<Record<string, number>>;
  /** A memory file system can be the writable layer: always for root, since Linux 6.6 in a user namespace. */
  readonly memoryUpper: boolean;
  /** Version of each cgroup controller that can be used here. */
  readonly controllers: Readonly<Record<string, 1 | 2>>;
  /** There is a cgroup2 hierarchy to show inside. */
  readonly cgroup2: boolean;
  /** The ranges of ids of an ordinary user; `undefined` for others. */
  readonly subIds?: SubIds | undefined;
}
