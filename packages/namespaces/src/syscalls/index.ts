// System calls by name and number for the two architectures that we build for, and the AUDIT_ARCH_* values
// by which a seccomp filter tells calling conventions apart. Pure data: works on any operating system.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';
import { ARM64_SYSCALLS } from './arm64.js';
import { X86_64_SYSCALLS } from './x86-64.js';

/** An architecture that we know the system calls of, in the words of `process.arch`. */
export type SyscallArch = 'x64' | 'arm64';

/** Both architectures. */
export const SYSCALL_ARCHES: readonly SyscallArch[] = ['x64', 'arm64'];

/**
 * `seccomp_data.arch` of a native 64-bit call.
 * @see <https://man7.org/linux/man-pages/man2/seccomp.2.html> and include/uapi/linux/audit.h
 */
export const AUDIT_ARCH: Readonly<Record<SyscallArch, number>> = { x64: 0xc000003e, arm64: 0xc00000b7 };

/** `seccomp_data.arch` of the 32-bit calls that the same kernel may take: i386 by `int 0x80`, arm by AArch32. */
export const AUDIT_ARCH_COMPAT: Readonly<Record<SyscallArch, number>> = { x64: 0x40000003, arm64: 0x40000028 };

/** Bit 30 of the number marks the x32 calls of x86-64, which share `AUDIT_ARCH.x64`. */
export const X32_SYSCALL_BIT = 0x40000000;

const SOURCES: Readonly<Record<SyscallArch, string>> = { x64: X86_64_SYSCALLS, arm64: ARM64_SYSCALLS };
const tables = new Map<SyscallArch, ReadonlyMap<string, number>>();
const namesByNumber = new Map<SyscallArch, ReadonlyMap<number, string>>();

function parse(source: string): Map<string, number> {
  const table = new Map<string, number>();
  let next = 0;
  for (const word of source.split(/\s+/)) {
    if (word === '') continue;
    if (/^\d+$/.test(word)) next = Number(word);
    else table.set(word, next++);
  }
  return table;
}

const isSyscallArch = (arch: string): arch is SyscallArch => arch === 'x64' || arch === 'arm64';

/**
 * The architecture of this process, or of the value given.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an architecture without a table.
 */
export function syscallArch(arch: string = process.arch): SyscallArch {
  if (isSyscallArch(arch)) return arch;
  throw new InvalidArgumentError('arch', "'x64' or 'arm64'", arch);
}

/**
 * All system calls of an architecture, name to number, in order of their numbers; the newest is of Linux 6.18.
 * @param arch `undefined` means this process's own.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an architecture without a table.
 * @example syscallTable('arm64').get('openat') // 56
 */
export function syscallTable(arch?: SyscallArch): ReadonlyMap<string, number> {
  const which = syscallArch(arch);
  let table = tables.get(which);
  if (!table) {
    table = parse(SOURCES[which]);
    tables.set(which, table);
  }
  return table;
}

/**
 * The number of a system call.
 * @param arch `undefined` means this process's own.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when the architecture has no call of that name.
 * @example syscallNumber('pivot_root', 'x64') // 155
 */
export function syscallNumber(name: string, arch?: SyscallArch): number {
  const table = syscallTable(arch);
  const number = table.get(name);
  if (number !== undefined) return number;
  throw new InvalidArgumentError('syscall', `a system call of Linux on ${syscallArch(arch)}${didYouMean(name, table.keys())}`, name);
}

/**
 * The name of a system call, `undefined` for a number that Linux 6.18 does not use.
 * @param arch `undefined` means this process's own.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an architecture without a table.
 */
export function syscallName(number: number, arch?: SyscallArch): string | undefined {
  const which = syscallArch(arch);
  let names = namesByNumber.get(which);
  if (!names) {
    names = new Map([...syscallTable(which)].map(([name, n]) => [n, name]));
    namesByNumber.set(which, names);
  }
  return names.get(number);
}
