// v2's device rules: an eBPF program that is attached to the cgroup's directory, and lives as long as that.
import { errnoName, SyscallError } from '@ctr/internal/errors';
import { compileDevices } from './controllers/device-program.js';
import type { FullDeviceRule } from './controllers/device-rules.js';
import { devicesRefused } from './device-refusal.js';
import { attachProgram, loadProgram } from './native.js';

/** "Not for you", and "no such thing": other errors are errors. */
const REFUSALS = new Set(['EPERM', 'EACCES', 'ENOSYS', 'EINVAL', 'EOPNOTSUPP']);

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
      const refused = error instanceof SyscallError && REFUSALS.has(errnoName(error.errno));
      throw refused ? devicesRefused(`bpf(2) failed with ${error.code}`, error) : error;
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
  if (directory === undefined) throw devicesRefused('neither a cgroup2 directory nor v1’s controller');
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
