// System calls by name and number for the two architectures that we build for and the 32-bit conventions of their kernels, and
// the AUDIT_ARCH_* values by which a seccomp filter tells them apart. Pure data: works on any operating system.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';
import { ARM_SYSCALLS } from './arm.js';
import { ARM64_SYSCALLS } from './arm64.js';
import { I386_SYSCALLS } from './i386.js';
import { NOT_IN_X32, X32_OWN_SYSCALLS } from './x32.js';
import { X86_64_SYSCALLS } from './x86-64.js';

/** An architecture that we know the system calls of, in the words of `process.arch`. */
export type SyscallArch = 'x64' | 'arm64';

/** A way to call the kernel: the two architectures, and the 32-bit ones that the same kernel may take. */
export type SyscallConvention = SyscallArch | 'x86' | 'x32' | 'arm';

/** All of them. */
export const SYSCALL_CONVENTIONS: readonly SyscallConvention[] = ['x64', 'arm64', 'x86', 'x32', 'arm'];

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

const SOURCES: Readonly<Record<Exclude<SyscallConvention, 'x32'>, string>> = {
  x64: X86_64_SYSCALLS,
  arm64: ARM64_SYSCALLS,
  x86: I386_SYSCALLS,
  arm: ARM_SYSCALLS,
};
const tables = new Map<SyscallConvention, ReadonlyMap<string, number>>();
const namesByNumber = new Map<SyscallConvention, ReadonlyMap<number, string>>();

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

/** x32: the numbers of x86-64 with bit 30, but for its own. */
function x32Table(): Map<string, number> {
  const common = [...parse(SOURCES.x64)].filter(([name]) => !NOT_IN_X32.includes(name));
  const all = [...new Map([...common, ...parse(X32_OWN_SYSCALLS)])].sort((a, b) => a[1] - b[1]);
  return new Map(all.map(([name, number]) => [name, X32_SYSCALL_BIT + number]));
}

/** The numbers as a filter sees them: those of x32 with their bit. */
export function conventionTable(convention: SyscallConvention): ReadonlyMap<string, number> {
  let table = tables.get(convention);
  if (!table) {
    table = convention === 'x32' ? x32Table() : parse(SOURCES[convention]);
    tables.set(convention, table);
  }
  return table;
}

/**
 * All system calls of an architecture, name to number, in order of their numbers; the newest is of Linux 6.18.
 * @param arch `undefined` means this process's own.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an architecture without a table.
 * @example syscallTable('arm64').get('openat') // 56
 */
export const syscallTable = (arch?: SyscallArch): ReadonlyMap<string, number> => conventionTable(syscallArch(arch));

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
  return syscallNameOf(number, syscallArch(arch));
}

/** The name of a call by any convention; `undefined` for a number that it does not use. */
export function syscallNameOf(number: number, convention: SyscallConvention): string | undefined {
  let names = namesByNumber.get(convention);
  if (!names) {
    names = new Map([...conventionTable(convention)].map(([name, n]) => [n, name]));
    namesByNumber.set(convention, names);
  }
  return names.get(number);
}

/** The convention that an AUDIT_ARCH_* value and a number mean; `undefined` for one that is not known here. */
export function auditArchName(auditArch: number, number: number): SyscallConvention | undefined {
  if (auditArch === AUDIT_ARCH.x64) return number >= X32_SYSCALL_BIT ? 'x32' : 'x64';
  if (auditArch === AUDIT_ARCH.arm64) return 'arm64';
  if (auditArch === AUDIT_ARCH_COMPAT.x64) return 'x86';
  return auditArch === AUDIT_ARCH_COMPAT.arm64 ? 'arm' : undefined;
}
