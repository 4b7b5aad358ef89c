// Which files and ports are left to a program, whatever its ids allow: landlock(7).
import { type Bytes, flags, named, type Step, slot } from '@ctr/internal/steps';
import { AT_FDCWD, openHow } from './flags.js';

/** Rights on files, with the ABI version that brought them. */
const FILE_RIGHTS: Readonly<Record<string, { bit: number; abi: number; file: boolean }>> = {
  execute: { bit: 0, abi: 1, file: true },
  'write-file': { bit: 1, abi: 1, file: true },
  'read-file': { bit: 2, abi: 1, file: true },
  'read-dir': { bit: 3, abi: 1, file: false },
  'remove-dir': { bit: 4, abi: 1, file: false },
  'remove-file': { bit: 5, abi: 1, file: false },
  'make-char': { bit: 6, abi: 1, file: false },
  'make-dir': { bit: 7, abi: 1, file: false },
  'make-reg': { bit: 8, abi: 1, file: false },
  'make-sock': { bit: 9, abi: 1, file: false },
  'make-fifo': { bit: 10, abi: 1, file: false },
  'make-block': { bit: 11, abi: 1, file: false },
  'make-sym': { bit: 12, abi: 1, file: false },
  refer: { bit: 13, abi: 2, file: false },
  truncate: { bit: 14, abi: 3, file: true },
  'ioctl-dev': { bit: 15, abi: 5, file: true },
};
const NET_ABI = 4;
const SCOPE_ABI = 6;
const BIND_TCP = 1n;
const CONNECT_TCP = 2n;
const SCOPES: Readonly<Record<string, number>> = { 'abstract-unix-socket': 1, signal: 2 };

export const LANDLOCK_RIGHTS = Object.keys(FILE_RIGHTS);
export const LANDLOCK_SCOPES = Object.keys(SCOPES);
const SHORT: Readonly<Record<string, readonly string[]>> = {
  read: ['read-file', 'read-dir'],
  execute: ['read-file', 'read-dir', 'execute'],
  all: LANDLOCK_RIGHTS,
};
export const LANDLOCK_WORDS = [...Object.keys(SHORT), ...LANDLOCK_RIGHTS];

/** What is left to the program; every other way to files is closed, also to root. It holds for all its children. */
export interface Landlock {
  /**
   * Files and folders with all below, as the program sees them, and what may be done there: 'read', 'execute' (and read),
   * 'all', or single rights such as 'write-file'. A path that is missing is an error.
   */
  paths: readonly { path: string; access: readonly string[] }[];
  /** TCP ports that may be bound and connected to; `undefined`: all. Linux 6.7. */
  tcp?: { bind?: readonly number[]; connect?: readonly number[] };
  /** Keep it from what is outside of its domain: 'abstract-unix-socket', 'signal'. Linux 6.12. */
  scope?: readonly string[];
}

const RULESET = 'landlock';
const PATH = 'landlock.path';
const DOING = 'make the Landlock rules';

/** The version of Landlock's interface that these rules need. */
export const neededAbi = (l: Landlock): number => (l.scope?.length ? SCOPE_ABI : l.tcp ? NET_ABI : 1);

const rights = (names: readonly string[], abi: number, filesOnly = false): bigint =>
  names
    .flatMap((name) => SHORT[name] ?? [name])
    .map((name) => FILE_RIGHTS[name])
    .reduce((word, r) => (r !== undefined && r.abi <= abi && (!filesOnly || r.file) ? word | (1n << BigInt(r.bit)) : word), 0n);

/** struct landlock_ruleset_attr, as long as this kernel knows it. */
function rulesetAttr(l: Landlock, abi: number): Bytes {
  const size = abi >= SCOPE_ABI ? 24 : abi >= NET_ABI ? 16 : 8;
  const bytes = Buffer.alloc(24);
  bytes.writeBigUInt64LE(rights(LANDLOCK_RIGHTS, abi), 0);
  bytes.writeBigUInt64LE((l.tcp?.bind ? BIND_TCP : 0n) | (l.tcp?.connect ? CONNECT_TCP : 0n), 8);
  bytes.writeBigUInt64LE(BigInt(flags(SCOPES, l.scope ?? []).value), 16);
  return { bytes: bytes.subarray(0, size), text: `{version ${abi}}` };
}

/** struct landlock_path_beneath_attr; a file takes only the rights that a file has. */
function pathRule(access: bigint, text: string): Step {
  const bytes = Buffer.alloc(12);
  bytes.writeBigUInt64LE(access, 0);
  return {
    call: 'landlock_add_rule',
    args: [slot(RULESET), named(1, 'LANDLOCK_RULE_PATH_BENEATH'), { bytes, text, patches: [{ at: 8, value: slot(PATH) }] }, 0],
    doing: DOING,
  };
}

function portRule(access: bigint, port: number): Step {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(access, 0);
  bytes.writeBigUInt64LE(BigInt(port), 8);
  return {
    call: 'landlock_add_rule',
    args: [slot(RULESET), named(2, 'LANDLOCK_RULE_NET_PORT'), { bytes, text: `{port ${port}}` }, 0],
    doing: DOING,
  };
}

/** While the root may still open every path of its own. */
export function makeRuleset(l: Landlock, abi: number): Step[] {
  const attr = rulesetAttr(l, abi);
  return [
    { call: 'landlock_create_ruleset', args: [attr, attr.bytes.length, 0], into: RULESET, doing: DOING },
    ...l.paths.flatMap(({ path, access }): Step[] => [
      {
        call: 'openat2',
        args: [AT_FDCWD, path, openHow(['O_PATH', 'O_CLOEXEC'], ['RESOLVE_NO_MAGICLINKS']), 24],
        into: PATH,
        doing: DOING,
      },
      { ...pathRule(rights(access, abi), `{${access.join('|')}}`), path, allow: ['EINVAL'], skipOnSuccess: 1 },
      { ...pathRule(rights(access, abi, true), `{${access.join('|')} of a file}`), path },
    ]),
    ...(l.tcp?.bind ?? []).map((port) => portRule(BIND_TCP, port)),
    ...(l.tcp?.connect ?? []).map((port) => portRule(CONNECT_TCP, port)),
  ];
}

/** With no_new_privs set, or CAP_SYS_ADMIN still there. */
export const restrictSelf = (): Step => ({
  call: 'landlock_restrict_self',
  args: [slot(RULESET), 0],
  doing: 'put the Landlock rules in force',
});
