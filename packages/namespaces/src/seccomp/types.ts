// The seccomp part of an OCI runtime configuration as TypeScript, and what our functions take beside it.
import type { SyscallArch } from '../syscalls/index.js';

/** What a filter does with a call, in OCI's words. KILL means KILL_THREAD, as libseccomp defines it. */
export type SeccompActionName =
  | 'SCMP_ACT_KILL'
  | 'SCMP_ACT_KILL_THREAD'
  | 'SCMP_ACT_KILL_PROCESS'
  | 'SCMP_ACT_TRAP'
  | 'SCMP_ACT_ERRNO'
  | 'SCMP_ACT_NOTIFY'
  | 'SCMP_ACT_TRACE'
  | 'SCMP_ACT_LOG'
  | 'SCMP_ACT_ALLOW';

/** How an argument is compared, always as an unsigned 64-bit number. */
export type SeccompOperator =
  | 'SCMP_CMP_NE'
  | 'SCMP_CMP_LT'
  | 'SCMP_CMP_LE'
  | 'SCMP_CMP_EQ'
  | 'SCMP_CMP_GE'
  | 'SCMP_CMP_GT'
  | 'SCMP_CMP_MASKED_EQ';

/** One condition on one argument. */
export interface OciSeccompArg {
  /** Which argument, 0 to 5. */
  index: number;
  /** What it is compared with; for MASKED_EQ the mask. Above 2^53 a bigint. */
  value: number | bigint;
  /** For MASKED_EQ what the masked argument must equal; `undefined` means 0. Other operators ignore it. */
  valueTwo?: number | bigint | undefined;
  op: SeccompOperator;
}

/** When a rule of a Docker profile counts: all that is given must hold. Not part of OCI. */
export interface SeccompRuleFilter {
  /** `includes`: all of these must be held. `excludes`: none of them may. */
  caps?: string[] | undefined;
  /** Architectures in Go's words ('amd64', 'arm64'): ours must be (`includes`) or not be (`excludes`) among them. */
  arches?: string[] | undefined;
  /** 'major.minor': the kernel must be (`includes`) or not be (`excludes`) this or newer. */
  minKernel?: string | undefined;
}

/** What happens with some system calls. */
export interface OciSeccompRule {
  /** Names; those that the architecture does not have are ignored, because one profile serves many. */
  names: string[];
  action: SeccompActionName;
  /** For ERRNO the errno, for TRACE the message; `undefined` means EPERM (1). Not allowed with other actions. */
  errnoRet?: number | undefined;
  /** The errno by its name, which podman's profiles have beside `errnoRet`, and which counts when both are there. Not part of OCI. */
  errno?: string | undefined;
  /** Conditions that must all hold; `undefined` or empty means always. Two on the same argument become two rules, as in runc. */
  args?: OciSeccompArg[] | undefined;
  /** For readers. Docker profiles have it, OCI not. */
  comment?: string | undefined;
  includes?: SeccompRuleFilter | undefined;
  excludes?: SeccompRuleFilter | undefined;
}

/**
 * `linux.seccomp` of an OCI runtime configuration, or a Docker seccomp profile (which adds `archMap`, `includes`, `excludes`).
 * @see <https://github.com/opencontainers/runtime-spec/blob/main/config-linux.md#seccomp>
 */
export interface OciSeccomp {
  /** What happens with calls that no rule names, and with rules whose conditions do not hold. */
  defaultAction: SeccompActionName;
  /** As `errnoRet`, for `defaultAction`. */
  defaultErrnoRet?: number | undefined;
  /** As `errno`, for `defaultAction`. */
  defaultErrno?: string | undefined;
  /**
   * OCI names such as 'SCMP_ARCH_X86_64'. 'SCMP_ARCH_X86' and 'SCMP_ARCH_X32' on x86-64, 'SCMP_ARCH_ARM' on arm64 open the calls of
   * 32-bit programs to the rules; without them these meet `foreignArch`, those of x32 ENOSYS. The architecture's own calls are always
   * filtered, and names of other architectures do nothing.
   */
  architectures?: string[] | undefined;
  /** SECCOMP_FILTER_FLAG_* names. They belong to the seccomp(2) call, not to the program: see `seccompFlags`. */
  flags?: string[] | undefined;
  /** Where a runtime sends the listener of SCMP_ACT_NOTIFY: a UNIX socket. For the one who loads the filter; see `onListener`. */
  listenerPath?: string | undefined;
  /** What it sends along. */
  listenerMetadata?: string | undefined;
  /** Docker's `architectures`: the `subArchitectures` beside our own architecture count as if named there. */
  archMap?: { architecture: string; subArchitectures?: string[] | null }[] | undefined;
  syscalls?: OciSeccompRule[] | undefined;
}

/** How a profile is compiled. */
export interface CompileSeccompOptions {
  /** Which system calls; `undefined` means this process's architecture. */
  arch?: SyscallArch | undefined;
  /** What the process will hold in its bounding set, for `includes.caps` and `excludes.caps`; `undefined` means none. */
  capabilities?: readonly string[] | undefined;
  /** The kernel for `minKernel`, such as '6.18'; `undefined` means the running one. */
  kernel?: string | undefined;
  /**
   * What a call of a convention meets that the profile does not open (i386 through `int 0x80`, 32-bit arm): 'kill' ends the process
   * with SIGSYS as libseccomp does, 'enosys' answers ENOSYS. `undefined` means 'kill'. x32 calls meet ENOSYS.
   */
  foreignArch?: 'kill' | 'enosys' | undefined;
}
