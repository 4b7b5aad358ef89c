// @ctr/cgroups: create, limit, observe, freeze, kill and remove control groups, on v1, v2 and hybrid hosts.

export { CleanupError, CtrError, InvalidArgumentError, SyscallError, UnsupportedError } from '@ctr/internal/errors';
export { Cgroup, createCgroup, openCgroup } from './cgroup.js';
export type { CollectedStats } from './collected.js';
export { parseCollected } from './collected.js';
export type { CpuStats } from './controllers/cpu.js';
export type { CpusetStats } from './controllers/cpuset.js';
export type { DeviceRule } from './controllers/device-rules.js';
export type { HugetlbStats } from './controllers/hugetlb.js';
export type { IoDeviceStats, IoLimit, IoStats } from './controllers/io.js';
export type { MemoryStats } from './controllers/memory.js';
export type { PidsStats } from './controllers/pids.js';
export type { RdmaLimit, RdmaStats } from './controllers/rdma.js';
export {
  bfqFromIoWeight,
  blkioFromIoWeight,
  ioWeightFromBlkio,
  sharesFromWeight,
  weightFromShares,
} from './conversions.js';
export type { DelegateOptions } from './delegate.js';
export type {
  CgroupEvent,
  CgroupEventKind,
  CountedEvent,
  CountedEventKind,
  EventOptions,
  StateEvent,
  StateEventKind,
} from './events.js';
export type { CgroupHost, ControllerPlace } from './host/detect.js';
export { detectCgroups } from './host/detect.js';
export type { CgroupMode } from './host/parse.js';
export type { UnifiedPlace } from './host/unified.js';
export type { IoCost } from './io-cost.js';
export { readIoCost, setIoCost } from './io-cost.js';
export type { CgroupDirectories, ControllerName } from './names.js';
export { DEFAULT_CONTROLLERS } from './names.js';
export type { OomEvent } from './oom-events.js';
export { OomKillCounter, oomKills } from './oom-kills.js';
export { parentDirectories } from './parent/directories.js';
export type { OpenParentOptions } from './parent/open-parent.js';
export { openParent } from './parent/open-parent.js';
export type { ParentHierarchy } from './parent/parent.js';
export { CgroupParent } from './parent/parent.js';
export type { Enforceable } from './plan/can-enforce.js';
export { canEnforce } from './plan/can-enforce.js';
export type { CgroupDescription, CgroupEntrance, CgroupEntry } from './plan/describe.js';
export { describeCgroup, describeEnter } from './plan/describe.js';
export type { PressureEvent, PressureTrigger } from './pressure.js';
export type { Pressure, PressureResource, PressureStats, PressureTimes } from './pressure-stats.js';
export type { Resources } from './resources.js';
export type { CgroupStats, StateStats, StatsOptions, StatsPart } from './stats.js';
export type { SystemdBus } from './systemd/bus.js';
export { SystemdError } from './systemd/bus.js';
export type { ScopeOptions } from './systemd/scope.js';
export { createScope, Scope } from './systemd/scope.js';
export type { DockerResources } from './translate/docker.js';
export { resourcesFromDocker } from './translate/docker.js';
export type { OciLinuxResources } from './translate/oci.js';
export { resourcesFromOci } from './translate/oci.js';
export type { UpdateOptions } from './update.js';
export type { CgroupRates, CgroupSample, WatchOptions } from './watch-stats.js';
