// v2's device rules: an eBPF program that is attached to the cgroup's directory, and lives as long as that.
import { errnoName, SyscallError, UnsupportedError } from '@ctr/internal/errors';
import { compileDevices } from './controllers/device-program.js';
import type { FullDeviceRule } from './controllers/device-rules.js';
import { attachProgram, loadProgram } from './native.js';

const REQUIRES = 'CAP_SYS_ADMIN (or CAP_BPF and CAP_NET_ADMIN) and a kernel with CONFIG_CGROUP_BPF';

/** "Not for you", and "no such thing": other errors are errors. */
const REFUSALS = new Set(['EPERM', 'EACCES', 'ENOSYS', 'EINVAL', 'EOPNOTSUPP']);

const refusal = (error: SyscallError): UnsupportedError =>
  new UnsupportedError('a rule for device files', REQUIRES, `bpf(2) failed with ${error.code}`, {
    cause: error,
    hint: 'in a user namespace leave devices out: there device nodes cannot be made, and mounts have nodev',
  });

/** A program that the kernel has taken, to be attached to any number of cgroups. */
export class DeviceProgram {
  readonly #loaded: { readonly fd: number; close(): void };

  /**
   * @throws {UnsupportedError} CTR_UNSUPPORTED when this user or kernel may not
   */
  constructor(rules: readonly FullDeviceRule[]) {
    try {
      this.#loaded = loadProgram(compileDevices(rules));
    } catch (error) {
      throw error instanceof SyscallError && REFUSALS.has(errnoName(error.errno)) ? refusal(error) : error;
    }
  }

  /** Takes the place of the programs that we attached there before; those of others (systemd's) hold beside it. */
  attach(directory: string): void {
    attachProgram(directory, this.#loaded.fd);
  }

  [Symbol.dispose](): void {
    this.#loaded.close();
  }
}

/** Puts rules on a cgroup in use, or takes them away. */
export function replaceDeviceProgram(directory: string | undefined, rules: readonly FullDeviceRule[] | null): void {
  if (directory === undefined)
    throw new UnsupportedError('a rule for device files', 'a cgroup2 directory or v1’s devices controller', 'neither');
  if (rules === null) {
    attachProgram(directory, null);
    return;
  }
  const program = new DeviceProgram(rules);
  try {
    program.attach(directory);
  } finally {
    program[Symbol.dispose]();
  }
}
