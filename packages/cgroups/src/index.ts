// @ctr/cgroups: create, limit, observe, freeze, kill and remove control groups, on v1, v2 and hybrid hosts.

export { CleanupError, CtrError, InvalidArgumentError, SyscallError, UnsupportedError } from '@ctr/internal/errors';
export { Cgroup, createCgroup, openCgroup } from './cgroup.js';
export type { CollectedStats } from './collected.js';
export { parseCollected } from './collected.js';
export type { CpuStats } from './controllers/cpu.js';
export type { CpusetStats } from './controllers/cpuset.js';
export type { IoStats } from './controllers/io.js';
export type { MemoryStats } from './controllers/memory.js';
export type { PidsStats } from './controllers/pids.js';
export type { CgroupHost, ControllerPlace } from './host/detect.js';
export { detectCgroups } from './host/detect.js';
export type { CgroupMode } from './host/parse.js';
export type { UnifiedPlace } from './host/unified.js';
export type { CgroupDirectories, ControllerName } from './names.js';
export type { OomEvent } from './oom-events.js';
export { oomKills } from './oom-kills.js';
export { parentDirectories } from './parent/directories.js';
export type { OpenParentOptions } from './parent/open-parent.js';
export { openParent } from './parent/open-parent.js';
export type { ParentHierarchy } from './parent/parent.js';
export { CgroupParent } from './parent/parent.js';
export type { Enforceable } from './plan/can-enforce.js';
export { canEnforce } from './plan/can-enforce.js';
export type { CgroupDescription, CgroupEntrance, CgroupEntry } from './plan/describe.js';
export { describeCgroup, describeEnter } from './plan/describe.js';
export type { Resources } from './resources.js';
export type { CgroupStats } from './stats.js';
