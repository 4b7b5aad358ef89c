// Docker's profiles are OCI's with conditions on whole rules: capabilities, architecture, kernel. This settles them, so that
// what remains is plain OCI.
import { release } from 'node:os';
import { errnoNumber, InvalidArgumentError } from '@ctr/internal/errors';
import { parseCapability } from '../capabilities.js';
import { type SyscallArch, syscallArch } from '../syscalls/index.js';
import { OCI_ARCH } from './conventions.js';
import type { OciSeccomp, OciSeccompRule, SeccompRuleFilter } from './types.js';

/** What a Docker profile's conditions are settled by. */
export interface DockerProfileFacts {
  /** `undefined` means this process's architecture. */
  arch?: SyscallArch | undefined;
  /** The bounding set; `undefined` means none. */
  capabilities?: readonly string[] | undefined;
  /** Such as '6.18' or '6.18.44-generic'; `undefined` means the running kernel. */
  kernel?: string | undefined;
}

/** Go's words for our architectures, in which the profiles are written. */
const GO_ARCH: Readonly<Record<SyscallArch, string>> = { x64: 'amd64', arm64: 'arm64' };

function version(text: string): [number, number] {
  const match = /^(\d{1,3})\.(\d{1,4})/.exec(text);
  if (!match) throw new InvalidArgumentError('kernel', "a kernel version such as '6.18'", text);
  return [Number(match[1]), Number(match[2])];
}

function isAtLeast(kernel: string, least: string): boolean {
  const [a, b] = [version(kernel), version(least)];
  return a[0] > b[0] || (a[0] === b[0] && a[1] >= b[1]);
}

function applies(rule: OciSeccompRule, held: ReadonlySet<string>, arch: string, kernel: string): boolean {
  const { caps: with_ = [], arches: on = [], minKernel: from } = (rule.includes ?? {}) as SeccompRuleFilter;
  const { caps: without = [], arches: notOn = [], minKernel: before } = (rule.excludes ?? {}) as SeccompRuleFilter;
  if (notOn.includes(arch) || without.some((cap) => held.has(cap))) return false;
  if (before !== undefined && isAtLeast(kernel, before)) return false;
  if (on.length > 0 && !on.includes(arch)) return false;
  return with_.every((cap) => held.has(cap)) && (from === undefined || isAtLeast(kernel, from));
}

/**
 * The plain OCI object that a Docker profile means for these capabilities, this architecture and kernel.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown capability or architecture.
 * @see <https://docs.docker.com/engine/security/seccomp/>
 */
export function resolveDockerProfile(profile: OciSeccomp, facts: DockerProfileFacts = {}): OciSeccomp {
  const held = new Set<string>((facts.capabilities ?? []).map((name, i) => parseCapability(name, `capabilities[${i}]`)));
  const [arch, kernel] = [GO_ARCH[syscallArch(facts.arch)], facts.kernel ?? release()];
  const { archMap, defaultErrno, ...plain } = profile;
  const sub = (archMap ?? []).filter(({ architecture }) => architecture === OCI_ARCH[syscallArch(facts.arch)]);
  const opened = sub.flatMap(({ architecture, subArchitectures }) => [architecture, ...(subArchitectures ?? [])]);
  const architectures = [...new Set([...(profile.architectures ?? []), ...opened])];
  const kept = (profile.syscalls ?? []).filter((rule) => applies(rule, held, arch, kernel));
  return {
    ...plain,
    ...(defaultErrno ? { defaultErrnoRet: errnoNumber(defaultErrno) } : {}),
    ...(architectures.length > 0 ? { architectures } : {}),
    syscalls: kept.map(({ includes: _in, excludes: _ex, comment: _comment, errno, ...rule }) => ({
      ...rule,
      ...(errno ? { errnoRet: errnoNumber(errno) } : {}),
    })),
  };
}
