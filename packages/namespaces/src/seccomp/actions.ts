// The 32-bit values that a seccomp filter returns, and OCI's names for them.
// Values: include/uapi/linux/seccomp.h; defaults of errnoRet: OCI runtime-spec config-linux.md, "seccomp".
import type { SeccompActionName } from './types.js';

export const SECCOMP_RET: Readonly<Record<SeccompActionName, number>> = {
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

export const EPERM = 1;
export const ENOSYS = 38;
export const EPROTONOSUPPORT = 93;
export const EAFNOSUPPORT = 97;

/** The kernel's MAX_ERRNO: it caps higher values in silence, so we refuse them. */
export const MAX_ERRNO = 4095;

/** Whether an action has a number beside it: the errno, or the message for the tracer. */
export const takesErrno = (action: SeccompActionName): boolean => action === 'SCMP_ACT_ERRNO' || action === 'SCMP_ACT_TRACE';

/** The value that a filter returns for an action. */
export const returnValue = (action: SeccompActionName, errno: number = EPERM): number =>
  takesErrno(action) ? (SECCOMP_RET[action] | errno) >>> 0 : SECCOMP_RET[action];

/** What a filter decided. */
export interface SeccompVerdict {
  /** OCI's name; KILL_THREAD for the value that has two. */
  action: SeccompActionName;
  /** The errno of ERRNO, the message of TRACE; else 0. */
  data: number;
}

/** Reads a filter's return value as the kernel does: an unknown action kills the process (since Linux 4.14). */
export function readReturnValue(value: number): SeccompVerdict {
  const kind = (value & 0xffff0000) >>> 0;
  const found = (Object.keys(SECCOMP_RET) as SeccompActionName[]).find((name) => SECCOMP_RET[name] === kind);
  const action = found ?? 'SCMP_ACT_KILL_PROCESS';
  return { action, data: takesErrno(action) ? value & 0xffff : 0 };
}
