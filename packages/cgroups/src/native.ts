// The only file that loads the addon, at the first use: an import works on any system.
import { fileURLToPath } from 'node:url';
import { SyscallError } from '@ctr/internal/errors';
import { loadAddon } from '@ctr/internal/native';

/** A descriptor that the event loop watches. */
export interface WatchedFd {
  /** Its number, for cgroup.event_control. */
  readonly fd: number;
  close(): void;
}

interface Binding {
  /** eventfd(2), and a callback for each time it was signalled. Keeps the event loop alive until closed. */
  eventfd(onSignal: () => void): WatchedFd;
  /** Opens a pressure file, writes the trigger, and calls back each time it fires (POLLPRI). */
  pressure(file: string, trigger: string, onSignal: () => void): WatchedFd;
  /** BPF_PROG_LOAD of type BPF_PROG_TYPE_CGROUP_DEVICE. */
  loadDevices(instructions: Uint8Array): { readonly fd: number; close(): void };
  /** BPF_PROG_ATTACH, or nothing for -1; then BPF_PROG_DETACH of our own programs that were there before. */
  attachDevices(directory: string, program: number): void;
}

let binding: Binding | undefined;

function native<T>(doing: string, call: (b: Binding) => T, hint?: (code: string) => string | undefined): T {
  binding ??= loadAddon<Binding>(fileURLToPath(new URL('../native/', import.meta.url)), 'ctr_cgroups');
  try {
    return call(binding);
  } catch (error) {
    const { errno, syscall, path } = error as { errno?: number; syscall?: string; path?: string };
    if (errno === undefined || syscall === undefined) throw error;
    const failure = new SyscallError({ errno, syscall, path, doing });
    const advice = hint?.(failure.code);
    throw advice === undefined ? failure : new SyscallError({ errno, syscall, path, doing }, { hint: advice });
  }
}

/** Opens an eventfd and calls `onSignal` when the kernel has signalled it. */
export const watchEventFd = (onSignal: () => void): WatchedFd => native('wait for an out-of-memory notice', (b) => b.eventfd(onSignal));

const PRESSURE_HINTS: Readonly<Record<string, string>> = {
  EINVAL: 'without CAP_SYS_RESOURCE windowMs is a multiple of 2000 (Linux 6.5 and newer)',
  EPERM: 'before Linux 6.5 a trigger takes CAP_SYS_RESOURCE',
  EOPNOTSUPP: 'boot with psi=1',
};

/** Sets a PSI trigger and calls `onSignal` each time it fires. */
export const watchPressure = (file: string, trigger: string, onSignal: () => void): WatchedFd =>
  native(
    `set the pressure trigger ${JSON.stringify(trigger)}`,
    (b) => b.pressure(file, trigger, onSignal),
    (code) => PRESSURE_HINTS[code],
  );

/** Hands a device program to the kernel. */
export const loadProgram = (instructions: Uint8Array): { readonly fd: number; close(): void } =>
  native('load the program of the device rules', (b) => b.loadDevices(instructions));

/** Puts it on a cgroup instead of our programs that are there; null only takes those away. */
export const attachProgram = (directory: string, program: number | null): void =>
  native('attach the program of the device rules', (b) => b.attachDevices(directory, program ?? -1));
