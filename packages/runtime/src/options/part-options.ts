// The parts of RunOptions that have a structure of their own: mounts, limits, capabilities, id maps.

import type { RlimitName } from '@ctr/namespaces';

export type { RlimitName };

export type NamespaceName = 'pid' | 'mount' | 'network' | 'ipc' | 'uts' | 'user' | 'cgroup' | 'time';

/** A folder or file of the host, shown inside the container. */
export interface BindMountOptions {
  type: 'bind';
  /** Absolute path on the host. */
  source: string;
  /** Absolute path inside the container; made when it is missing. */
  target: string;
  /** Default: false. Holds for the mounts below it too. */
  readOnly?: boolean | undefined;
  /** Show what is mounted below the source too. Default: true. */
  recursive?: boolean | undefined;
  /** Whether later mounts travel between host and container. Default: 'private', they do not. */
  propagation?: 'private' | 'slave' | 'shared' | undefined;
  /** Programs may not be started from it. Default: false. */
  noexec?: boolean | undefined;
}

/** A file system in memory, empty at first, counted to the container's memory. */
export interface TmpfsMountOptions {
  type: 'tmpfs';
  /** Absolute path inside the container. */
  target: string;
  /** Most it can hold. Default: half of the machine's memory. */
  size?: number | string | undefined;
  /** Mode of its top directory. Default: 0o1777. */
  mode?: number | undefined;
  /** Default: false. */
  readOnly?: boolean | undefined;
  /** Programs may not be started from it. Default: true, as in Docker. */
  noexec?: boolean | undefined;
}

export type MountOptions = BindMountOptions | TmpfsMountOptions;

/** A device of the host, `docker run --device`. */
export interface DeviceOptions {
  /** Absolute path on the host: a device, or a folder of which all devices are given. */
  source: string;
  /** Absolute path below /dev inside the container. Default: as on the host. */
  target?: string | undefined;
  /** Letters of rwm: read, write, make. Default: 'rwm'. Less than that needs the devices controller of cgroups. */
  access?: string | undefined;
}

/** Limits of the whole container. Sizes are bytes or text such as '512m'; units are powers of 1024. */
export interface ResourceOptions {
  /** How many cores' time it may use, such as 0.5. */
  cpus?: number | undefined;
  /** Its share when cores are contended, 1 to 10000. The kernel's default is 100. */
  cpuWeight?: number | undefined;
  /** Cores it may run on, such as '0-3,6'. */
  cpusetCpus?: string | undefined;
  /** Memory nodes it may use. */
  cpusetMems?: string | undefined;
  /** Memory it may use; beyond that it is killed, with `reason` 'oom'. */
  memory?: number | string | undefined;
  /** Memory that is taken from it last when the host runs short. */
  memoryReservation?: number | string | undefined;
  /** From here on it is slowed down. Needs cgroup v2. */
  memoryHigh?: number | string | undefined;
  /** Swap on top of `memory`. Default: none when `memory` is given. */
  memorySwap?: number | string | undefined;
  /** How many processes and threads it may have. Default: 1024 where the host can limit it. */
  pids?: number | 'unlimited' | undefined;
  /** Kill all its processes when one runs out of memory. Default: true where the kernel can. Needs cgroup v2. */
  oomGroup?: boolean | undefined;
  /** 'default': only the harmless device files of /dev, and those of the option `devices`. 'all': no rule. */
  devices?: 'default' | 'all' | undefined;
  /** Any cgroup v2 file by name, such as { 'memory.min': '1048576' }. */
  unified?: Readonly<Record<string, string>> | undefined;
}

/** 'NET_ADMIN' or 'CAP_NET_ADMIN', or 'ALL'. */
export interface CapabilityOptions {
  add?: readonly string[] | undefined;
  /** Taken away before `add` gives; 'all' leaves only what is added. */
  drop?: 'all' | readonly string[] | undefined;
}

/** `size` ids from `containerId` on inside are the ids from `hostId` on outside. */
export interface IdMapOption {
  containerId: number;
  hostId: number;
  size: number;
}

/** One number for both, or soft and hard apart. 'unlimited' takes the limit away. */
export type RlimitValue = number | 'unlimited' | { soft: number | 'unlimited'; hard: number | 'unlimited' };
