// Our compiler against libseccomp, the one that every other runtime uses: both make a program of the same profile, and both
// programs are asked about every system call of every calling convention with arguments that matter.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../src/capabilities.js';
import {
  compileSeccomp,
  defaultSeccompProfile,
  type OciSeccomp,
  type OciSeccompArg,
  type OciSeccompRule,
  resolveDockerProfile,
  type SeccompActionName,
  type SeccompOperator,
  type SimulatedCall,
  seccompSimulator,
} from '../src/seccomp/index.js';
import { conventionTable, type SyscallArch, type SyscallConvention } from '../src/syscalls/index.js';
import { randomNumbers } from './naive-seccomp.js';

const source = fileURLToPath(new URL('seccomp-libseccomp.c', import.meta.url));

host.define('libseccomp', {
  test: () => {
    const dir = makeTempDir('libseccomp');
    writeFileSync(path.join(dir, 'a.c'), '#include <seccomp.h>\nint main(void) { return seccomp_api_get() == 0; }\n');
    const built = spawnSync('cc', ['-o', path.join(dir, 'a'), path.join(dir, 'a.c'), '-lseccomp'], { stdio: 'ignore' });
    return built.status === 0 && spawnSync(path.join(dir, 'a')).status === 0;
  },
  cure: 'install it with its header, on Debian: apt-get install gcc libseccomp-dev',
});
const PODMANS = '/usr/share/containers/seccomp.json';
host.define('podman-profile', { test: () => existsSync(PODMANS), cure: 'on Debian: apt-get install golang-github-containers-common' });
const libseccomp = need('linux', 'libseccomp');
const podman = need('linux', 'libseccomp', 'podman-profile');

const ACTIONS: Readonly<Record<SeccompActionName, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};
/** enum scmp_compare, from 1 on */
const OPERATORS: SeccompOperator[] = [
  'SCMP_CMP_NE',
  'SCMP_CMP_LT',
  'SCMP_CMP_LE',
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_MASKED_EQ',
];
const TOKENS: Readonly<Record<SyscallConvention, number>> = {
  x64: 0xc000003e,
  x86: 0x40000003,
  x32: 0x4000003e,
  arm64: 0xc00000b7,
  arm: 0x40000028,
};
const OCI: Readonly<Record<SyscallConvention, string>> = {
  x64: 'SCMP_ARCH_X86_64',
  x86: 'SCMP_ARCH_X86',
  x32: 'SCMP_ARCH_X32',
  arm64: 'SCMP_ARCH_AARCH64',
  arm: 'SCMP_ARCH_ARM',
};
const X32_BIT = 0x40000000;
const ARM_PRIVATE = 0xf0000;
const ENOSYS = ACTIONS.SCMP_ACT_ERRNO | 38;

const hex = (n: number | bigint): string => BigInt(n).toString(16);
const numberOf = (action: SeccompActionName, errno = 1): number =>
  (['SCMP_ACT_ERRNO', 'SCMP_ACT_TRACE'].includes(action) ? ACTIONS[action] + errno : ACTIONS[action]) >>> 0;
const fallbackOf = (p: OciSeccomp): number => numberOf(p.defaultAction, p.defaultErrnoRet);
const lets = (p: OciSeccomp): boolean => ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'].includes(p.defaultAction);

/** The rules as runc hands them to libseccomp: not those that say what the default does, and conditions on one argument one by one. */
function rulesForLibseccomp(p: OciSeccomp): { action: number; names: string[]; args: OciSeccompArg[] }[] {
  return (p.syscalls ?? []).flatMap(({ names, action, errnoRet, args: given }) => {
    const args = given ?? [];
    const value = numberOf(action, errnoRet);
    if (value === fallbackOf(p)) return [];
    const twice = new Set(args.map((a) => a.index)).size < args.length;
    return (twice ? args.map((a) => [a]) : [args]).map((list) => ({ action: value, names, args: list }));
  });
}

/** The conventions that both are asked about, with the numbers of each. */
const numbersOf = (convention: SyscallConvention): number[] => {
  const below = Array.from({ length: 700 }, (_, n) => n);
  if (convention === 'x32') return [...below.map((n) => X32_BIT + n), 0x7fffffff, 0x80000000, 0xfffffffe];
  // From bit 30 on the numbers of x86-64 are those of x32; -1 is no call but what a tracer writes to skip one.
  const far = [1000, 0x3fffffff, ...(convention === 'x64' ? [] : [0x7fffffff, 0x80000000, 0xfffffffe])];
  return [...below, ...(convention === 'arm' ? [...conventionTable('arm').values()].filter((n) => n >= ARM_PRIVATE) : []), ...far];
};

const IPC = conventionTable('x86').get('ipc');
/** The calls behind socketcall(2) and ipc(2). */
const BEHIND =
  /^(socket|socketpair|bind|connect|listen|accept4?|get(sock|peer)name|shutdown|[gs]etsockopt|(send|recv)(to|from|msg|mmsg)?|(sem|msg|shm)\w+)$/;

describe.skipIf(!libseccomp.ok)(libseccomp.title('the compiler and libseccomp agree'), () => {
  const dir = makeTempDir('oracle');
  const oracle = path.join(dir, 'oracle');
  const unknown = new Set<string>();

  beforeAll(() => {
    const built = spawnSync('cc', ['-Wall', '-Wextra', '-Werror', '-O1', '-o', oracle, source, '-lseccomp'], { encoding: 'utf8' });
    expect(built.stderr).toBe('');
    const all = (['x64', 'arm64', 'x86', 'arm'] as const).flatMap((c) => [...conventionTable(c).keys()]);
    const { stdout } = spawnSync(oracle, ['unknown'], { input: all.join('\n'), encoding: 'utf8' });
    for (const name of stdout.split('\n')) unknown.add(name);
  });

  /**
   * Without the names that the installed libseccomp is too old for; and where i386 takes part without conditions on the calls
   * behind socketcall(2) and ipc(2): libseccomp drops the first of them there, refuses the second rule, and mixes up others.
   * What ours answers there is in compile.test.ts.
   */
  const known = (p: OciSeccomp, conventions: readonly SyscallConvention[]): OciSeccomp => {
    const isLost = (name: string, rule: OciSeccompRule) => conventions.includes('x86') && BEHIND.test(name) && (rule.args?.length ?? 0) > 0;
    const syscalls = (p.syscalls ?? [])
      .map((rule) => ({ ...rule, names: rule.names.filter((name) => !unknown.has(name) && !isLost(name, rule)) }))
      .filter(({ names }) => names.length > 0);
    return { ...p, syscalls };
  };

  /** Its program; `undefined` when it refuses some of the rules, which it does for some pairs. */
  function theirs(p: OciSeccomp, conventions: readonly SyscallConvention[]): Uint8Array | undefined {
    const lines = [`default ${hex(fallbackOf(p))}`, ...conventions.map((c) => `arch ${hex(TOKENS[c])}`)];
    for (const { action, names, args } of rulesForLibseccomp(p))
      for (const name of names)
        lines.push(
          [
            'rule',
            hex(action),
            name,
            ...args.flatMap((a) => [a.index, 1 + OPERATORS.indexOf(a.op), a.value, a.valueTwo ?? 0].map(hex)),
          ].join(' '),
        );
    const r = spawnSync(oracle, { input: `${lines.join('\n')}\n` });
    if (r.status === 3) return undefined;
    expect({ status: r.status, stderr: r.stderr.toString() }).toEqual({ status: 0, stderr: '' });
    return r.stdout;
  }

  /** What ours answers where libseccomp answers `value`: every difference between the two has its name here. */
  function expected(p: OciSeccomp, conventions: readonly SyscallConvention[]) {
    const fallback = fallbackOf(p);
    const newest = new Map(
      conventions.map((c) => {
        const numbers = (p.syscalls ?? []).flatMap((r) => r.names.map((name) => conventionTable(c).get(name) ?? -1));
        return [c, Math.max(-1, ...numbers.filter((n) => c !== 'arm' || n < ARM_PRIVATE))];
      }),
    );
    return (c: SyscallConvention, nr: number, value: number): number => {
      // Those of x32 are answered, so that C libraries do without; libseccomp kills.
      if (c === 'x32' && !conventions.includes(c)) return ENOSYS;
      // Newer than all that the profile names: as runc adds it to libseccomp's programs.
      const last = newest.get(c);
      if (value === fallback && !lets(p) && last !== undefined && last >= 0 && nr > last) return ENOSYS;
      return value;
    };
  }

  const describeCall = (c: SyscallConvention, nr: number, args: readonly bigint[]) => `${c} ${nr}(${args.map(hex).join(', ')})`;

  /** Asks both about everything, or about `only` one convention; how many questions that were. */
  function compare(profile: OciSeccomp, conventions: readonly SyscallConvention[], argSets: readonly bigint[][], only?: SyscallConvention) {
    const p = known({ ...profile, architectures: conventions.map((c) => OCI[c]) }, conventions);
    const their = theirs(p, only ? [only] : conventions);
    if (their === undefined) return undefined;
    const arch = conventions[0] as SyscallArch;
    const [ask, askThem, settle] = [seccompSimulator(compileSeccomp(p, { arch })), seccompSimulator(their), expected(p, conventions)];
    const conditional = new Set((p.syscalls ?? []).filter((r) => r.args?.length).flatMap((r) => r.names));
    const byArguments = new Set(
      ['socketcall', 'ipc', ...conditional].flatMap((name) => conventions.map((c) => conventionTable(c).get(name))),
    );
    // What no argument decides is asked with none, and with the first set.
    const setsFor = (nr: number) => (byArguments.has(nr) ? argSets : [[], ...argSets.slice(0, 1)]);
    const all: SyscallConvention[] = only ? [only] : arch === 'x64' ? ['x64', 'x32', 'x86'] : ['arm64', 'arm'];
    const wrong: string[] = [];
    let asked = 0;
    for (const c of all)
      for (const nr of numbersOf(c))
        for (const set of setsFor(nr)) {
          // Registers of 32 bits: so the kernel shows them.
          const args = c === 'x86' || c === 'arm' ? set.map((a) => a & 0xffffffffn) : set;
          const call: SimulatedCall = { arch: c === 'x32' ? 'x64' : c, nr, args };
          const [mine, value] = [ask(call).value, askThem(call).value];
          asked++;
          if (mine === settle(c, nr, value)) continue;
          // The version in the high half of ipc's first argument is no part of the call's number.
          if (c === 'x86' && nr === IPC && (args[0] ?? 0n) > 0xffffn) continue;
          // libseccomp 2.5 does not know that x32 has it.
          if (c === 'x32' && nr === conventionTable('x32').get('map_shadow_stack')) continue;
          wrong.push(`${describeCall(c, nr, args)}: ${hex(mine)}, libseccomp ${hex(value)}`);
        }
    expect(wrong.slice(0, 20)).toEqual([]);
    return asked;
  }

  /** Numbers that the default profiles look at, alone and with rubbish in the high word. */
  const VALUES = [
    0n,
    1n,
    2n,
    8n,
    9n,
    10n,
    13n,
    16n,
    17n,
    24n,
    38n,
    40n,
    0x5412n,
    0x541cn,
    0x20000n,
    0x20008n,
    0x10000000n,
    0x7e020000n,
  ].flatMap((v) => [v, v | 0xdead_0000_0000n]);
  const ARGS = [...VALUES, 0xffffffffn, 0xffffffffffffffffn].map((v, i, list) =>
    Array.from({ length: 6 }, (_, n) => (n === 0 ? v : (list[(i * (2 * n + 1) + n) % list.length] as bigint))),
  );

  const CONVENTIONS: SyscallConvention[][] = [['x64'], ['x64', 'x86'], ['x64', 'x32'], ['x64', 'x86', 'x32'], ['arm64'], ['arm64', 'arm']];
  const named = CONVENTIONS.map((conventions) => [conventions.join('+'), conventions] as const);

  it.each(named)('about our default profile on %s', (_, conventions) => {
    for (const capabilities of [[], DEFAULT_CAPABILITIES, CAPABILITIES]) {
      const profile = defaultSeccompProfile({ capabilities, arch: conventions[0] as SyscallArch });
      expect(compare(profile, conventions, ARGS)).toBeGreaterThan(2000);
    }
  });

  it.skipIf(!podman.ok).each(named)(podman.title("about podman's profile on %s"), (_, conventions) => {
    const docker = JSON.parse(readFileSync(PODMANS, 'utf8')) as OciSeccomp;
    for (const capabilities of [[], DEFAULT_CAPABILITIES, CAPABILITIES]) {
      const { archMap: _map, ...plain } = resolveDockerProfile(docker, {
        arch: conventions[0] as SyscallArch,
        capabilities,
        kernel: '6.18',
      });
      expect(compare(plain, conventions, ARGS)).toBeGreaterThan(2000);
    }
  });

  // Of conditions for several conventions at once libseccomp 2.5 makes wrong programs (the second one's number is not always loaded),
  // so each has its program alone there; ours is made for the architecture too.
  it.each([
    ['x64', 'x64'],
    ['x86', 'x64'],
    ['x32', 'x64'],
    ['arm64', 'arm64'],
    ['arm', 'arm64'],
  ] as const)('about random profiles on %s', (convention, arch) => {
    const conventions: SyscallConvention[] = [...new Set([arch, convention])];
    const random = randomNumbers(convention.length * 31 + arch.length);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const numbers = [0n, 1n, 2n, 7n, 0x100n, 0xffffn, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x1_0000_0001n, 0xffffffffffffffffn];
    // Where registers have 32 bits, more of them mean nothing to libseccomp 2.5.
    const values = conventions.length > 1 ? numbers.filter((n) => n <= 0xffffffffn) : numbers;
    const names =
      'read write clone ioctl prctl mmap mmap2 kill socket connect semop shmat openat fstat stat64 dup2 futex execve mkdirat getpid cachestat'
        .split(' ')
        .filter((name) => convention !== 'x86' || !BEHIND.test(name));
    const argument = (index: number): OciSeccompArg => ({ index, op: pick(OPERATORS), value: pick(values), valueTwo: pick(values) });
    const rule = (): OciSeccompRule => {
      const action = pick(Object.keys(ACTIONS) as SeccompActionName[]);
      const args = random() < 0.6 ? Array.from({ length: 1 + Math.floor(random() * 2) }, (_, i) => argument(2 * i + pick([0, 1]))) : [];
      return { names: [pick(names), pick(names)], action, ...(action === 'SCMP_ACT_ERRNO' ? { errnoRet: pick([1, 38, 4095]) } : {}), args };
    };
    const argSets = Array.from({ length: 30 }, () => Array.from({ length: 6 }, () => pick(numbers)));
    let compared = 0;
    for (let i = 0; i < 60; i++) {
      // One rule for a call. Of several with orders on 64 bits libseccomp 2.5 makes a wrong program: with "below 0xffff" and
      // "above 0x100000001" it also finds 0xffffffff.
      const seen = new Set<string>();
      const syscalls = Array.from({ length: 6 }, rule)
        .map((r) => ({ ...r, names: [...new Set(r.names)].filter((name) => !seen.has(name) && seen.add(name)) }))
        .filter((r) => r.names.length > 0);
      const profile: OciSeccomp = {
        defaultAction: pick(['SCMP_ACT_ALLOW', 'SCMP_ACT_ERRNO', 'SCMP_ACT_KILL_PROCESS', 'SCMP_ACT_LOG']),
        syscalls,
      };
      if (compare(profile, conventions, argSets, convention) !== undefined) compared++;
    }
    expect(compared).toBeGreaterThan(40);
  });

  it('about what each operator does with 64 bits, for every value against every other', () => {
    const edges = [0n, 1n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x1_0000_0000n, 0x1_0000_0001n, 0xffffffff00000000n, 0xffffffffffffffffn];
    for (const op of OPERATORS)
      for (const value of edges)
        for (const valueTwo of op === 'SCMP_CMP_MASKED_EQ' ? edges : [0n]) {
          const args = [{ index: 2, op, value, valueTwo }];
          const profile: OciSeccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['ioctl'], action: 'SCMP_ACT_ERRNO', args }] };
          const p = { ...profile, architectures: ['SCMP_ARCH_X86_64'] };
          const their = theirs(p, ['x64']);
          if (their === undefined) throw new Error('refused');
          const [ask, askThem] = [seccompSimulator(compileSeccomp(p, { arch: 'x64' })), seccompSimulator(their)];
          for (const actual of edges) {
            const call: SimulatedCall = { arch: 'x64', nr: 16, args: [0, 0, actual] };
            expect([op, value, valueTwo, actual, ask(call).value]).toEqual([op, value, valueTwo, actual, askThem(call).value]);
          }
        }
  });

  it('and both know the same numbers', () => {
    // Each name alone in a profile, on all conventions: the program that libseccomp makes says which number it takes it for.
    const names = [...new Set((['x64', 'arm64', 'x86', 'arm'] as const).flatMap((c) => [...conventionTable(c).keys()]))].filter(
      (n) => !unknown.has(n),
    );
    const syscalls = names
      .filter((name) => !BEHIND.test(name))
      .map((name, i): OciSeccompRule => ({ names: [name], action: 'SCMP_ACT_TRACE', errnoRet: 1 + i }));
    for (const conventions of [
      ['x64', 'x86', 'x32'],
      ['arm64', 'arm'],
    ] as SyscallConvention[][])
      expect(compare({ defaultAction: 'SCMP_ACT_ALLOW', syscalls }, conventions, [[0n, 0n, 0n, 0n, 0n, 0n]])).toBeGreaterThan(1000);
  });
});
