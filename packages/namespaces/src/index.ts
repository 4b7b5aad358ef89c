// The whole public surface of @ctr/namespaces.
export { CleanupError, CtrError, InvalidArgumentError, SyscallError, UnsupportedError } from '@ctr/internal/errors';
export { Fd } from '@ctr/internal/fd';
export type { Arg, Bytes, Named, Slot, Step, StringList } from '@ctr/internal/steps';
export type { CapabilityChoice, CapabilityName, CapabilitySets } from './capabilities.js';
export {
  CAPABILITIES,
  capabilitiesOf,
  capabilityMask,
  checkCapabilitySets,
  chooseCapabilities,
  DEFAULT_CAPABILITIES,
  parseCapability,
} from './capabilities.js';
export type { Hold, HoldOptions } from './hold.js';
export { closeLauncher, hold, monitorPid, tryFlock } from './hold.js';
export type { ProcessExit } from './launcher/launcher.js';
export type { FailureFacts, HintSource } from './launcher/start-error.js';
export { StartError } from './launcher/start-error.js';
export { differingNamespaces } from './namespaces/differing.js';
export type { NamespaceChoice } from './namespaces/join.js';
export { type ListNamespacesOptions, listNamespaces, type NamespaceId, type NamespaceInfo, namespacesOf } from './namespaces/list.js';
export { Namespace, type NamespaceSource, openNamespace, type ProcessLike } from './namespaces/namespace.js';
export type { TimeOffsets } from './namespaces/time-offsets.js';
export type { NamespaceKind } from './plan/clone-flags.js';
export { NAMESPACE_KINDS } from './plan/clone-flags.js';
export { describePlan, describeStep } from './plan/describe-plan.js';
export type { Plan, StageName, StepStage } from './plan/plan.js';
export { ContainerProcess } from './process.js';
export { openProcess, ProcessHandle } from './process-handle.js';
export type { Rlimit, RlimitName } from './rlimits.js';
export { clampRlimit, DEFAULT_RLIMITS, parseProcLimits, parseRlimit, parseRlimits, RLIMITS } from './rlimits.js';
export type {
  AddFdOptions,
  CompileSeccompOptions,
  DefaultSeccompOptions,
  DockerProfileFacts,
  ListeningProcess,
  OciSeccomp,
  OciSeccompArg,
  OciSeccompRule,
  SeccompActionName,
  SeccompFilter,
  SeccompOperator,
  SeccompRuleFilter,
  SeccompVerdict,
  SimulatedCall,
  SimulatedVerdict,
} from './seccomp/index.js';
export {
  compileSeccomp,
  defaultSeccompFilter,
  defaultSeccompProfile,
  describeSeccomp,
  resolveDockerProfile,
  SECCOMP_FILTER_FLAGS,
  SeccompListener,
  SeccompNotification,
  seccompAsks,
  seccompFlags,
  seccompProgramFault,
  seccompSimulator,
  simulateSeccomp,
  unknownSyscallNames,
} from './seccomp/index.js';
export { SIGNALS, signalName, signalNumber } from './signals.js';
export type { SocketAddress, SocketFamily } from './sockets/address.js';
export { bindIn, type ConnectAddress, connectIn, type ListenAddress, listenIn } from './sockets/node-sockets.js';
export { sendFds } from './sockets/send-fds.js';
export { type SocketOptions, socketIn } from './sockets/socket-in.js';
export type { ProcessAttributes } from './spawn/attributes.js';
export { describeSpawn } from './spawn/compile-spawn.js';
export { enter } from './spawn/enter.js';
export { EnterTemplate, enterTemplate } from './spawn/enter-template.js';
export { defaultHints } from './spawn/hints.js';
export type {
  BindMount,
  CgroupEntry,
  Device,
  EnterOptions,
  FileSystemMount,
  KernelMount,
  Mount,
  MountFlags,
  ProgramOptions,
  Remount,
  SpawnOptions,
  Stdio,
  TmpfsMount,
  User,
} from './spawn/options.js';
export { ParkedProcess } from './spawn/parked-process.js';
export { spawn } from './spawn/spawn.js';
export type { StartOptions, TemplateStartOptions } from './spawn/spawn-template.js';
export { SpawnTemplate, spawnTemplate } from './spawn/spawn-template.js';
export type { Landlock } from './steps/landlock.js';
export type { MemoryPolicy } from './steps/memory-policy.js';
export type { Personality } from './steps/personality.js';
export type { IoPriority, Scheduler } from './steps/scheduling.js';
export type { SyscallArch, SyscallConvention } from './syscalls/index.js';
export { syscallNumber, syscallTable } from './syscalls/index.js';
export type { TerminalSize } from './terminal/size.js';
export { Terminal } from './terminal/terminal.js';
export { keepIdMaps, ownIdMaps, rangeIdMaps } from './userns/choices.js';
export { type ClaimedIds, type ClaimOptions, claimIds } from './userns/claim.js';
export { type IdMap, type IdMaps, type IdRange, parseIdMaps, toHostId } from './userns/id-map.js';
export { type IdMappedMountOptions, idMappedMount } from './userns/idmapped-mount.js';
export { removeRangeTree } from './userns/remove-range-tree.js';
export { parseSubIds, readSubIds, type SubIdSources, type SubIds } from './userns/subids.js';
export { createUserNamespace, type UserNamespaceOptions } from './userns/user-namespace.js';
