// The 32-bit calling conventions that a profile opens beside the architecture's own.
import type { SyscallArch, SyscallConvention } from '../syscalls/index.js';
import type { OciSeccomp } from './types.js';

/** OCI's names of the conventions that a kernel of the architecture may take. */
const OPENED: Readonly<Record<SyscallArch, Readonly<Record<string, SyscallConvention>>>> = {
  x64: { SCMP_ARCH_X86: 'x86', SCMP_ARCH_X32: 'x32' },
  arm64: { SCMP_ARCH_ARM: 'arm' },
};

export const OCI_ARCH: Readonly<Record<SyscallArch, string>> = { x64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' };

/** True where registers hold 32 bits, or where only 32 of them count. */
export const isNarrow = (convention: SyscallConvention): boolean => convention !== 'x64' && convention !== 'arm64';

/** The conventions that `architectures` opens beside the architecture itself, which is always there as in libseccomp. */
export function openedConventions(profile: OciSeccomp, arch: SyscallArch): ReadonlySet<SyscallConvention> {
  const named = (profile.architectures ?? []).map((name) => OPENED[arch][name]);
  return new Set(named.filter((convention) => convention !== undefined));
}
