// Checks a seccomp profile completely before anything is made of it, and names what is wrong by its place.
import { didYouMean, errnoNumber, InvalidArgumentError } from '@ctr/internal/errors';
import { MAX_ERRNO, SECCOMP_RET, takesErrno } from './actions.js';
import type { OciSeccomp, OciSeccompArg, OciSeccompRule, SeccompActionName, SeccompOperator, SeccompRuleFilter } from './types.js';

const OPERATORS: readonly SeccompOperator[] = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
];

/** The architectures of the OCI runtime specification, 1.3. */
const ARCHITECTURES =
  'X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB'
    .split(' ')
    .map((name) => `SCMP_ARCH_${name}`);

const PROFILE_KEYS = 'defaultAction defaultErrnoRet defaultErrno architectures flags listenerPath listenerMetadata archMap syscalls'.split(
  ' ',
);
const RULE_KEYS = 'names action errnoRet errno args comment includes excludes'.split(' ');
const ARG_KEYS = 'index value valueTwo op'.split(' ');
const FILTER_KEYS = 'caps arches minKernel'.split(' ');
const MAX_U64 = 0xffffffffffffffffn;

function record(value: unknown, path: string, keys: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new InvalidArgumentError(path, 'an object', value);
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) throw new InvalidArgumentError(`${path}.${key}`, `a known property${didYouMean(key, keys)}`, key);
  }
  return value as Record<string, unknown>;
}

/**
 * Checks that an options object has no key that we do not know.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT with the right spelling when one is near.
 */
export function checkKeys(options: unknown, path: string, keys: readonly string[]): void {
  record(options, path, keys);
}

function list(value: unknown, path: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw new InvalidArgumentError(path, 'a list', value);
}

/** Checks the items of a list that may be absent; JSON written by Go has null there. */
function each(value: unknown, path: string, check: (item: unknown, path: string) => void): void {
  for (const [i, item] of (value === undefined || value === null ? [] : list(value, path)).entries()) check(item, `${path}[${i}]`);
}

function text(value: unknown, path: string): void {
  if (typeof value !== 'string' || value === '' || value.includes('\0')) throw new InvalidArgumentError(path, 'a name', value);
}

function oneOf(value: unknown, path: string, names: readonly string[], such: string): void {
  if (typeof value === 'string' && names.includes(value)) return;
  throw new InvalidArgumentError(path, `${such}${typeof value === 'string' ? didYouMean(value, names) : ''}`, value);
}

function action(value: unknown, path: string): asserts value is SeccompActionName {
  oneOf(value, path, Object.keys(SECCOMP_RET), "an action such as 'SCMP_ACT_ALLOW'");
}

function errno(value: unknown, path: string, of: SeccompActionName): void {
  if (value === undefined) return;
  if (!takesErrno(of)) throw new InvalidArgumentError(path, `absent: ${of} has no errno`, value);
  const most = of === 'SCMP_ACT_TRACE' ? 0xffff : MAX_ERRNO;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= most) return;
  throw new InvalidArgumentError(path, `a whole number from 0 to ${most}`, value);
}

function errnoByName(value: unknown, path: string, of: SeccompActionName): void {
  if (value === undefined || value === '') return;
  if (!takesErrno(of)) throw new InvalidArgumentError(path, `absent: ${of} has no errno`, value);
  try {
    errnoNumber(value as string);
  } catch {
    throw new InvalidArgumentError(path, "the name of an errno such as 'EPERM'", value);
  }
}

function u64(value: unknown, path: string): void {
  if (typeof value === 'bigint' && value >= 0n && value <= MAX_U64) return;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return;
  throw new InvalidArgumentError(path, 'a whole number of 64 bits without sign, as a bigint when above 2^53', value);
}

function argument(value: unknown, path: string): void {
  const arg = record(value, path, ARG_KEYS) as Partial<OciSeccompArg>;
  if (!Number.isInteger(arg.index) || (arg.index as number) < 0 || (arg.index as number) > 5) {
    throw new InvalidArgumentError(`${path}.index`, 'the number of an argument, 0 to 5', arg.index);
  }
  u64(arg.value, `${path}.value`);
  if (arg.valueTwo !== undefined) u64(arg.valueTwo, `${path}.valueTwo`);
  oneOf(arg.op, `${path}.op`, OPERATORS, "an operator such as 'SCMP_CMP_EQ'");
}

function filter(value: unknown, path: string): void {
  if (value === undefined || value === null) return;
  const found = record(value, path, FILTER_KEYS) as SeccompRuleFilter;
  each(found.caps, `${path}.caps`, text);
  each(found.arches, `${path}.arches`, text);
  if (found.minKernel !== undefined && !/^\d{1,3}\.\d{1,4}$/.test(String(found.minKernel))) {
    throw new InvalidArgumentError(`${path}.minKernel`, "a kernel version such as '4.8'", found.minKernel);
  }
}

function rule(value: unknown, path: string): void {
  const found = record(value, path, RULE_KEYS) as Partial<OciSeccompRule>;
  if (list(found.names, `${path}.names`).length === 0)
    throw new InvalidArgumentError(`${path}.names`, 'at least one system call', found.names);
  each(found.names, `${path}.names`, text);
  action(found.action, `${path}.action`);
  errno(found.errnoRet, `${path}.errnoRet`, found.action);
  errnoByName(found.errno, `${path}.errno`, found.action);
  each(found.args, `${path}.args`, argument);
  filter(found.includes, `${path}.includes`);
  filter(found.excludes, `${path}.excludes`);
}

/**
 * Checks every part of a profile.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT at the first value, type or key that is wrong.
 */
export function checkProfile(profile: unknown, path = 'seccomp'): asserts profile is OciSeccomp {
  const found = record(profile, path, PROFILE_KEYS) as Partial<OciSeccomp>;
  action(found.defaultAction, `${path}.defaultAction`);
  errno(found.defaultErrnoRet, `${path}.defaultErrnoRet`, found.defaultAction);
  errnoByName(found.defaultErrno, `${path}.defaultErrno`, found.defaultAction);
  const architecture = (name: unknown, at: string) => oneOf(name, at, ARCHITECTURES, "an architecture such as 'SCMP_ARCH_X86_64'");
  each(found.architectures, `${path}.architectures`, architecture);
  each(found.flags, `${path}.flags`, text);
  each(found.archMap, `${path}.archMap`, (item, at) => {
    const entry = record(item, at, ['architecture', 'subArchitectures']);
    architecture(entry['architecture'], `${at}.architecture`);
    each(entry['subArchitectures'], `${at}.subArchitectures`, architecture);
  });
  if (found.listenerPath !== undefined) text(found.listenerPath, `${path}.listenerPath`);
  if (found.listenerMetadata !== undefined && typeof found.listenerMetadata !== 'string')
    throw new InvalidArgumentError(`${path}.listenerMetadata`, 'a text', found.listenerMetadata);
  each(found.syscalls, `${path}.syscalls`, rule);
}
