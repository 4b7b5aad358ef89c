// Seccomp without libseccomp: profiles compiled to BPF in TypeScript, the default profile, and tools to look at a filter.
export type { SeccompVerdict } from './actions.js';
export { compileSeccomp, unknownSyscallNames } from './compile.js';
export { type DefaultSeccompOptions, defaultSeccompFilter, defaultSeccompProfile } from './default-profile.js';
export { describeSeccomp } from './describe.js';
export { type DockerProfileFacts, resolveDockerProfile } from './docker-profile.js';
export { SECCOMP_FILTER_FLAGS, seccompFlags } from './flags.js';
export { SeccompListener } from './listener/listener.js';
export { type AddFdOptions, SeccompNotification } from './listener/notification.js';
export { type ListeningProcess, type SeccompFilter, seccompAsks } from './load.js';
export { type SimulatedCall, type SimulatedVerdict, seccompProgramFault, seccompSimulator, simulateSeccomp } from './simulate.js';
export type {
  CompileSeccompOptions,
  OciSeccomp,
  OciSeccompArg,
  OciSeccompRule,
  SeccompActionName,
  SeccompOperator,
  SeccompRuleFilter,
} from './types.js';
