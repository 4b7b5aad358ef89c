// The whole public surface of @ctr/runtime.
export {
  AbortError,
  CleanupError,
  CtrError,
  ImageError,
  InvalidArgumentError,
  SyscallError,
  UnsupportedError,
} from '@ctr/internal/errors';
export { Fd } from '@ctr/internal/fd';
export { StartError } from '@ctr/namespaces';
export type { ContainerCommitOptions } from './changes.js';
export { MaxBufferError } from './collect-output.js';
export type { ContainerInfo, ExecProcess, ExecRun, StopOptions } from './container.js';
export { Container } from './container.js';
export type { Explanation } from './explain.js';
export { explain } from './explain.js';
export type { HostReport } from './host/check-host.js';
export { checkHost } from './host/check-host.js';
export type { Feature } from './host/try-start.js';
export type { Run } from './lazy-run.js';
export type { OciLinux, OciMount, OciNamespace, OciProcess, OciResources, OciSpec } from './oci/types.js';
export type {
  BindMountOptions,
  CapabilityOptions,
  DeviceOptions,
  IdMapOption,
  MountOptions,
  NamespaceName,
  ResourceOptions,
  RlimitName,
  RlimitValue,
  TmpfsMountOptions,
} from './options/part-options.js';
export type {
  Duration,
  ExecOptions,
  OutputOption,
  ProcessOptions,
  RegistryPullOptions,
  RunOptions,
  StdinOption,
  UserOption,
} from './options/run-options.js';
export type { SignalName } from './options/units.js';
export type { ContainerResult, ExitReason, ExitStatus, Usage } from './result.js';
export { ContainerExitError } from './result.js';
export type { ContainerRun } from './run-container.js';
export { runContainer } from './run-container.js';
