// The compiler against a naive interpreter of profiles, its precedence, its limits and its refusals.
import { describe, expect, it } from 'vitest';
import { naiveSeccomp, randomNumbers } from '../../test/naive-seccomp.js';
import { conventionTable, SYSCALL_ARCHES, type SyscallConvention, syscallNumber, syscallTable } from '../syscalls/index.js';
import { compileSeccomp, unknownSyscallNames } from './compile.js';
import { describeSeccomp } from './describe.js';
import { seccompProgramFault, seccompSimulator, simulateSeccomp } from './simulate.js';
import type { OciSeccomp, OciSeccompArg, OciSeccompRule, SeccompActionName, SeccompOperator } from './types.js';

const ALLOW = 0x7fff0000;
const errno = (n: number) => 0x00050000 | n;
const KILL = 0x80000000;

const answer = (profile: OciSeccomp, name: string, ...args: (number | bigint)[]) =>
  simulateSeccomp(compileSeccomp(profile, { arch: 'x64' }), { arch: 'x64', nr: syscallNumber(name, 'x64'), args }).value;

const denyByDefault = (...syscalls: OciSeccompRule[]): OciSeccomp => ({ defaultAction: 'SCMP_ACT_ERRNO', syscalls });
const allow = (name: string, ...args: OciSeccompArg[]): OciSeccompRule => ({ names: [name], action: 'SCMP_ACT_ALLOW', args });
const refuse = (errnoRet: number, name: string, ...args: OciSeccompArg[]): OciSeccompRule => ({
  names: [name],
  action: 'SCMP_ACT_ERRNO',
  errnoRet,
  args,
});
const arg = (index: number, op: string, value: number | bigint, valueTwo?: number | bigint): OciSeccompArg => ({
  index,
  op: `SCMP_CMP_${op}` as SeccompOperator,
  value,
  valueTwo,
});

describe('operators', () => {
  const edges = [0n, 1n, 0x7fffffffn, 0x80000000n, 0xffffffffn, 0x100000000n, 0x100000001n, 0x8000000000000000n, 0xffffffffffffffffn];

  it.each(['NE', 'LT', 'LE', 'EQ', 'GE', 'GT'])('%s compares all 64 bits without sign', (op) => {
    for (const value of edges) {
      const profile = denyByDefault(allow('read', arg(2, op, value)));
      const simulate = seccompSimulator(compileSeccomp(profile, { arch: 'x64' }));
      const naive = naiveSeccomp(profile, 'x64');
      for (const actual of edges.flatMap((e) => [e - 1n, e, e + 1n]).map((e) => BigInt.asUintN(64, e))) {
        const expected = naive({ nr: 0, args: [0n, 0n, actual] });
        expect([op, value, actual, simulate({ arch: 'x64', nr: 0, args: [0, 0, actual] }).value]).toEqual([op, value, actual, expected]);
      }
    }
  });

  it.each([
    [0xffffffffn, 0x5412n, 0x100005412n, ALLOW],
    [0xffffffffn, 0x5412n, 0x5413n, errno(1)],
    [0xffffffffffffffffn, 0x5412n, 0x100005412n, errno(1)],
    [0x7e020000n, 0n, 0x11n, ALLOW],
    [0x7e020000n, 0n, 0x20011n, errno(1)],
    [0xf00000000n, 0x300000000n, 0x3ffffffffn, ALLOW],
    [0xf00000000n, 0x300000000n, 0x13ffffffffn, ALLOW],
    [0xf00000000n, 0x300000000n, 0x23ffffffn, errno(1)],
    [0xf0n, 0xf1n, 0xf2n, ALLOW], // bits outside the mask do not count
  ])('MASKED_EQ: mask %x, wanted %x, actual %x', (mask, wanted, actual, expected) => {
    expect(answer(denyByDefault(allow('ioctl', arg(1, 'MASKED_EQ', mask, wanted))), 'ioctl', 0, actual)).toBe(expected);
  });
});

describe('precedence', () => {
  it('joins the conditions of a rule by and, rules by or', () => {
    const profile = denyByDefault(allow('socket', arg(0, 'EQ', 16), arg(2, 'EQ', 0)), allow('socket', arg(0, 'EQ', 1)));
    expect([answer(profile, 'socket', 16, 3, 0), answer(profile, 'socket', 16, 3, 9), answer(profile, 'socket', 1, 1, 9)]).toEqual([
      ALLOW,
      errno(1),
      ALLOW,
    ]);
  });

  it('splits a rule with two conditions on one argument into alternatives, as runc does', () => {
    const profile = denyByDefault(allow('socket', arg(0, 'EQ', 1), arg(0, 'EQ', 2), arg(1, 'EQ', 5)));
    expect([1, 2, 3].map((family) => answer(profile, 'socket', family, 0))).toEqual([ALLOW, ALLOW, errno(1)]);
    expect(answer(profile, 'socket', 3, 5)).toBe(ALLOW);
  });

  it('lets a rule without conditions win over those with, and the first of several win', () => {
    expect(answer(denyByDefault(refuse(9, 'read', arg(0, 'EQ', 5)), allow('read')), 'read', 5)).toBe(ALLOW);
    expect(answer(denyByDefault(refuse(9, 'read'), allow('read')), 'read', 5)).toBe(errno(9));
    expect(answer(denyByDefault(refuse(9, 'read', arg(0, 'MASKED_EQ', 0)), allow('read', arg(0, 'EQ', 5))), 'read', 5)).toBe(errno(9));
  });

  it('leaves out rules that repeat the default', () => {
    expect(answer(denyByDefault(refuse(1, 'read'), allow('read', arg(0, 'EQ', 5))), 'read', 5)).toBe(ALLOW);
  });

  it.each([false, true])('lets the more specific rule win, whichever comes first (%s)', (turned) => {
    const both = [allow('socket', arg(0, 'LT', 40)), refuse(97, 'socket', arg(0, 'EQ', 38))];
    const profile = denyByDefault(...(turned ? both.reverse() : both));
    expect([37, 38, 39, 40].map((family) => answer(profile, 'socket', family))).toEqual([ALLOW, errno(97), ALLOW, errno(1)]);
  });
});

describe('numbers without a rule', () => {
  const at = (profile: OciSeccomp, nr: number, arch: 'x64' | 'arm64' = 'x64') =>
    simulateSeccomp(compileSeccomp(profile, { arch }), { arch, nr }).value;
  const upTo439 = denyByDefault(allow('read'), allow('faccessat2'));

  it('answers ENOSYS above the newest call that the profile names', () => {
    expect([438, 439, 440, 469, 470, 600, 0x3fffffff].map((nr) => at(upTo439, nr))).toEqual([
      errno(1),
      ALLOW,
      errno(38),
      errno(38),
      errno(38),
      errno(38),
      errno(38),
    ]);
    expect(at({ ...upTo439, defaultAction: 'SCMP_ACT_KILL_PROCESS' }, 440)).toBe(errno(38));
  });

  it.each(['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE'] as const)('passes them on when the default is %s', (defaultAction) => {
    const profile = { defaultAction, syscalls: [refuse(1, 'mkdir')] };
    const fallback = at(profile, 1000);
    expect(fallback).not.toBe(errno(38));
    expect([600, 0x3fffffff, 0xffffffff].map((nr) => at(profile, nr))).toEqual([fallback, fallback, fallback]);
    expect([0x40000000, 0x40000053, 0x80000000, 0xfffffffe].map((nr) => at(profile, nr))).toEqual(Array(4).fill(errno(38)));
    expect(at(profile, 0x40000000, 'arm64')).toBe(fallback);
  });

  it('answers ENOSYS to all x32 calls', () => {
    expect([0x40000000, 0x40000001, 0x7fffffff, 0x80000000, 0xffffffff].map((nr) => at(upTo439, nr))).toEqual(Array(5).fill(errno(38)));
  });

  it('has no ENOSYS when the profile names nothing', () => expect(at({ defaultAction: 'SCMP_ACT_ERRNO' }, 500)).toBe(errno(1)));

  it('kills foreign calling conventions, or answers ENOSYS', () => {
    const call = { arch: 'x86', nr: 3 } as const;
    const run = (foreignArch?: 'kill' | 'enosys') => simulateSeccomp(compileSeccomp(upTo439, { arch: 'x64', foreignArch }), call).value;
    expect([run(), run('kill'), run('enosys')]).toEqual([KILL, KILL, errno(38)]);
    expect(simulateSeccomp(compileSeccomp(upTo439, { arch: 'arm64' }), { arch: 'arm', nr: 3 }).value).toBe(KILL);
    expect(simulateSeccomp(compileSeccomp(upTo439, { arch: 'arm64' }), { arch: 'x64', nr: 0 }).value).toBe(KILL);
  });
});

describe('32-bit conventions', () => {
  const opened = (...rules: OciSeccompRule[]): OciSeccomp => ({
    ...denyByDefault(...rules),
    architectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32', 'SCMP_ARCH_ARM'],
  });
  const ask = (
    profile: OciSeccomp,
    arch: 'x64' | 'arm64',
    convention: SyscallConvention,
    name: string | number,
    ...args: (number | bigint)[]
  ) => {
    const nr = typeof name === 'number' ? name : (conventionTable(convention).get(name) as number);
    return simulateSeccomp(compileSeccomp(profile, { arch }), { arch: convention === 'x32' ? 'x64' : convention, nr, args }).value;
  };
  const EPERM = errno(1);
  const rule = (action: SeccompActionName, name: string, ...args: OciSeccompArg[]): OciSeccompRule => ({ names: [name], action, args });

  it('have numbers of their own', () => {
    const profile = opened(allow('openat'), allow('rt_sigaction'), allow('stat64'), allow('cachestat'));
    expect([ask(profile, 'x64', 'x86', 295), ask(profile, 'x64', 'x86', 257), ask(profile, 'x64', 'x86', 'stat64')]).toEqual([
      ALLOW,
      EPERM,
      ALLOW,
    ]);
    expect([
      ask(profile, 'x64', 'x32', 0x40000101),
      ask(profile, 'x64', 'x32', 0x40000200),
      ask(profile, 'x64', 'x32', 0x4000000d),
    ]).toEqual([ALLOW, ALLOW, EPERM]);
    expect([ask(profile, 'arm64', 'arm', 322), ask(profile, 'arm64', 'arm', 56), ask(profile, 'arm64', 'arm', 'stat64')]).toEqual([
      ALLOW,
      EPERM,
      ALLOW,
    ]);
  });

  it('answer ENOSYS above the newest that the profile names', () => {
    const profile = opened(allow('read'), allow('dup3'), allow('set_tls'));
    expect([ask(profile, 'x64', 'x86', 330), ask(profile, 'x64', 'x86', 331), ask(profile, 'x64', 'x86', 0xffffffff)]).toEqual([
      ALLOW,
      errno(38),
      errno(38),
    ]);
    expect([ask(profile, 'x64', 'x32', 0x40000124), ask(profile, 'x64', 'x32', 0x40000125), ask(profile, 'x64', 'x64', 293)]).toEqual([
      ALLOW,
      errno(38),
      errno(38),
    ]);
    // The private calls of arm lie far above and make none of the others known.
    expect(['dup3', 359, 0xf0004, 'set_tls', 0xf0006].map((nr) => ask(profile, 'arm64', 'arm', nr))).toEqual([
      ALLOW,
      errno(38),
      errno(38),
      ALLOW,
      errno(38),
    ]);
  });

  it('meet ENOSYS or the end where the profile does not open them', () => {
    const profile = denyByDefault(allow('read'));
    expect([ask(profile, 'x64', 'x86', 3), ask(profile, 'x64', 'x32', 0x40000000), ask(profile, 'arm64', 'arm', 3)]).toEqual([
      KILL,
      errno(38),
      KILL,
    ]);
    const other = { ...profile, architectures: ['SCMP_ARCH_ARM', 'SCMP_ARCH_MIPS'] };
    expect([ask(other, 'x64', 'x86', 3), ask(other, 'x64', 'x64', 0)]).toEqual([KILL, ALLOW]);
  });

  it('are opened by what a Docker profile lists beside the architecture', () => {
    const profile: OciSeccomp = {
      ...denyByDefault(allow('read')),
      archMap: [
        { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
        { architecture: 'SCMP_ARCH_AARCH64', subArchitectures: ['SCMP_ARCH_ARM'] },
        { architecture: 'SCMP_ARCH_S390X', subArchitectures: null },
      ],
    };
    const all = [
      ask(profile, 'x64', 'x64', 0),
      ask(profile, 'x64', 'x86', 3),
      ask(profile, 'x64', 'x32', 0x40000000),
      ask(profile, 'arm64', 'arm64', 63),
      ask(profile, 'arm64', 'arm', 3),
    ];
    expect(all).toEqual(Array(5).fill(ALLOW));
  });

  it('look at 32 bits of arguments', () => {
    const minusOne: OciSeccompArg = { index: 0, op: 'SCMP_CMP_EQ', value: 0xffffffffffffffffn };
    const profile = opened(rule('SCMP_ACT_ALLOW', 'close', minusOne));
    expect([ask(profile, 'x64', 'x86', 'close', 0xffffffff), ask(profile, 'x64', 'x64', 'close', 0xffffffff)]).toEqual([ALLOW, EPERM]);
    expect([ask(profile, 'x64', 'x32', 'close', 0x5_ffffffffn), ask(profile, 'x64', 'x32', 'close', 1)]).toEqual([ALLOW, EPERM]);
  });

  it('get the strictest answer where a multiplexer hides the arguments', () => {
    const family = (value: number): OciSeccompArg => ({ index: 0, op: 'SCMP_CMP_EQ', value });
    const profile = opened(
      rule('SCMP_ACT_ALLOW', 'socket', family(1)),
      rule('SCMP_ACT_KILL_PROCESS', 'socketpair', family(2)),
      rule('SCMP_ACT_ALLOW', 'socketpair', family(1)),
      allow('accept'),
      allow('semop'),
      rule('SCMP_ACT_LOG', 'bind'),
    );
    const socketcall = (call: number) => ask(profile, 'x64', 'x86', 'socketcall', call, 0);
    // socket: some are allowed, the filter cannot see which
    expect([1, 8, 5, 2, 3].map(socketcall)).toEqual([EPERM, KILL, ALLOW, 0x7ffc0000, EPERM]);
    expect([ask(profile, 'x64', 'x86', 'socket', 1), ask(profile, 'x64', 'x86', 'socket', 2)]).toEqual([ALLOW, EPERM]);
    expect([1, 0x10001, 2].map((call) => ask(profile, 'x64', 'x86', 'ipc', call))).toEqual([ALLOW, ALLOW, EPERM]);
    const lax: OciSeccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: ['SCMP_ARCH_X86'],
      syscalls: [rule('SCMP_ACT_ERRNO', 'socket', family(38))],
    };
    expect([ask(lax, 'x64', 'x86', 'socketcall', 1), ask(lax, 'x64', 'x86', 'socketcall', 2)]).toEqual([EPERM, ALLOW]);
    // What the profile says of the multiplexer itself counts before.
    const named = opened(rule('SCMP_ACT_ALLOW', 'socket', family(1)), allow('socketcall'));
    expect(ask(named, 'x64', 'x86', 'socketcall', 1)).toBe(ALLOW);
  });
});

describe('random profiles', () => {
  const ACTIONS: SeccompActionName[] = [
    'SCMP_ACT_ALLOW',
    'SCMP_ACT_ERRNO',
    'SCMP_ACT_KILL_PROCESS',
    'SCMP_ACT_KILL_THREAD',
    'SCMP_ACT_KILL',
    'SCMP_ACT_TRAP',
    'SCMP_ACT_TRACE',
    'SCMP_ACT_LOG',
    'SCMP_ACT_NOTIFY',
  ];
  const OPS = ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'];
  const VALUES = [0n, 1n, 2n, 38n, 0xffn, 0x7e020000n, 0xffffffffn, 0x100000000n, 0x100000001n, 0xffffffff00000000n, 0xffffffffffffffffn];

  /** A profile with up to `most` rules, some of which share calls. */
  function randomProfile(random: () => number, names: readonly string[], most: number): OciSeccomp {
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const some = (count: number) => Array.from({ length: count });
    const errnoFor = (action: SeccompActionName) =>
      /ERRNO|TRACE/.test(action) && random() < 0.7 ? { errnoRet: Math.floor(random() * 4096) } : {};
    const rule = (): OciSeccompRule => {
      const action = pick(ACTIONS);
      const args = some(Math.floor(random() * 4)).map(() => arg(Math.floor(random() * 6), pick(OPS), pick(VALUES), pick(VALUES)));
      return { names: some(1 + Math.floor(random() * 20)).map(() => pick(names)), action, ...errnoFor(action), args };
    };
    return { defaultAction: pick(ACTIONS), syscalls: some(1 + Math.floor(random() * most)).map(rule) };
  }

  it.each(SYSCALL_ARCHES)('decide on %s as the naive interpreter does', (arch) => {
    const random = randomNumbers(arch === 'x64' ? 1 : 2);
    const names = [...syscallTable(arch).keys()];
    const few = names.slice(0, 12);
    for (let round = 0; round < 150; round++) {
      const profile = randomProfile(random, round % 2 === 0 ? names : few, round % 3 === 0 ? 60 : 8);
      const filter = compileSeccomp(profile, { arch });
      expect(seccompProgramFault(filter)).toBeUndefined();
      const simulate = seccompSimulator(filter);
      const naive = naiveSeccomp(profile, arch);
      for (let i = 0; i < 100; i++) {
        const nr = i % 10 === 0 ? Math.floor(random() * 2 ** 32) : Math.floor(random() * (round % 2 === 0 ? 500 : 15));
        const args = Array.from({ length: 6 }, () =>
          BigInt.asUintN(64, (VALUES[Math.floor(random() * VALUES.length)] as bigint) + BigInt(Math.floor(random() * 3) - 1)),
        );
        const expected = naive({ nr, args });
        const found = simulate({ arch, nr, args }).value;
        if (found !== expected) expect({ profile, nr, args, found }).toEqual({ profile, nr, args, found: expected });
      }
    }
  });
});

describe('size', () => {
  it('reaches over more than 255 instructions, by copies and by long jumps', () => {
    const names = [...syscallTable('x64').keys()];
    const syscalls = names.map((name, i) => ({
      ...refuse(i + 1, name, arg(i % 6, 'GT', i), arg((i + 1) % 6, 'MASKED_EQ', 0xff, i & 0xff)),
    }));
    const profile: OciSeccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls };
    const filter = compileSeccomp(profile, { arch: 'x64' });
    expect(filter.length / 8).toBeGreaterThan(1500);
    expect(seccompProgramFault(filter)).toBeUndefined();
    expect(describeSeccomp(filter)).toMatch(/: go \d+/);
    const simulate = seccompSimulator(filter);
    const naive = naiveSeccomp(profile, 'x64');
    for (const nr of syscallTable('x64').values()) {
      for (const args of [[], Array(6).fill(BigInt(nr + 1)), [...Array(6).keys()].map((i) => BigInt(nr + (i % 2)))]) {
        const call = { arch: 'x64', nr, args } as const;
        expect(simulate(call).value).toBe(naive(call));
      }
    }
  });

  it('refuses a program that the kernel would refuse', () => {
    const args = Array.from({ length: 900 }, (_, i) => arg(0, 'GT', BigInt(i) << 33n));
    const many = args.map((a) => refuse(5, 'read', a, arg(1, 'GT', BigInt(a.value) + 7n)));
    expect(() => compileSeccomp(denyByDefault(...many), { arch: 'x64' })).toThrow(
      "at most 4096 instructions, the kernel's limit, received",
    );
  });
});

describe('refusals', () => {
  const ok = denyByDefault(allow('read'));
  const bad = (change: object) => () => compileSeccomp({ ...ok, ...change } as OciSeccomp, { arch: 'x64' });
  const badRule = (change: object) => bad({ syscalls: [allow('write'), { ...allow('read'), ...change }] });
  const badArg = (change: object) => badRule({ args: [{ ...arg(0, 'EQ', 1), ...change }] });

  it.each([
    [
      bad({ defaultAction: 'SCMP_ACT_ALOW' }),
      'expected "seccomp.defaultAction" to be an action such as \'SCMP_ACT_ALLOW\' (did you mean "SCMP_ACT_ALLOW"?)',
    ],
    [bad({ defaultAction: undefined }), 'expected "seccomp.defaultAction"'],
    [bad({ defaultErrnoRet: 4096 }), 'a whole number from 0 to 4095, received 4096'],
    [bad({ defaultAction: 'SCMP_ACT_ALLOW', defaultErrnoRet: 1 }), 'absent: SCMP_ACT_ALLOW has no errno'],
    [bad({ syscall: [] }), 'expected "seccomp.syscall" to be a known property (did you mean "syscalls"?)'],
    [bad({ syscalls: {} }), 'expected "seccomp.syscalls" to be a list, received an object'],
    [bad({ architectures: ['SCMP_ARCH_X86_46'] }), 'did you mean "SCMP_ARCH_X86_64"?'],
    [bad({ archMap: [{ architecture: 'x' }] }), 'expected "seccomp.archMap[0].architecture"'],
    [bad({ flags: [7] }), 'expected "seccomp.flags[0]" to be a name, received 7'],
    [badRule({ names: [] }), 'expected "seccomp.syscalls[1].names" to be at least one system call'],
    [badRule({ names: ['re\0ad'] }), 'expected "seccomp.syscalls[1].names[0]" to be a name'],
    [badRule({ names: 'read' }), 'expected "seccomp.syscalls[1].names" to be a list'],
    [badRule({ action: 'toString' }), 'expected "seccomp.syscalls[1].action"'],
    [badRule({ errnoRet: 1 }), 'expected "seccomp.syscalls[1].errnoRet" to be absent'],
    [badRule({ arg: [] }), 'expected "seccomp.syscalls[1].arg" to be a known property (did you mean "args"?)'],
    [badRule({ includes: { minKernel: 'new' } }), 'expected "seccomp.syscalls[1].includes.minKernel"'],
    [badRule({ excludes: { cap: [] } }), 'did you mean "caps"?'],
    [badArg({ index: 6 }), 'expected "seccomp.syscalls[1].args[0].index" to be the number of an argument, 0 to 5, received 6'],
    [badArg({ index: '0' }), 'received "0" (string)'],
    [badArg({ value: -1 }), 'expected "seccomp.syscalls[1].args[0].value"'],
    [badArg({ value: 2 ** 64 }), 'as a bigint when above 2^53'],
    [badArg({ value: 1n << 64n }), 'received 18446744073709551616n (bigint)'],
    [badArg({ valueTwo: '1' }), 'expected "seccomp.syscalls[1].args[0].valueTwo"'],
    [badArg({ op: 'SCMP_CMP_EQQ' }), 'did you mean "SCMP_CMP_EQ"?'],
    [() => compileSeccomp(null as unknown as OciSeccomp), 'expected "seccomp" to be an object, received null'],
    [() => compileSeccomp(ok, { arch: 'ia32' as 'x64' }), "'x64' or 'arm64'"],
    [() => compileSeccomp(ok, { foreignArch: 'allow' as 'kill' }), "'kill' or 'enosys', received \"allow\""],
    [() => compileSeccomp(ok, { capability: [] } as object), 'did you mean "capabilities"?'],
    [() => compileSeccomp(ok, { arch: 'x64', capabilities: ['CAP_SYS_ADMN'] }), 'did you mean "CAP_SYS_ADMIN"?'],
    [() => compileSeccomp(denyByDefault({ ...allow('read'), includes: { minKernel: '4.8' } }), { arch: 'x64', kernel: 'new' }), '"kernel"'],
  ])('%# names what is wrong', (run, message) => expect(run).toThrow(message));

  it('ignores names of other architectures, and tells which nobody has', () => {
    const profile = denyByDefault(allow('_llseek'), allow('open'), allow('reed'));
    expect(answer(profile, 'open')).toBe(ALLOW);
    expect(unknownSyscallNames(profile)).toEqual(['reed']);
  });

  it('gives equal bytes for equal profiles', () => expect(compileSeccomp(ok)).toEqual(compileSeccomp(structuredClone(ok))));
});
