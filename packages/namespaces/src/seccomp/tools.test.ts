// Looking at filters: the text, the simulation's checks, Docker's conditions, and the flags.
import { describe, expect, it } from 'vitest';
import { encodeProgram } from './bpf.js';
import { compileSeccomp } from './compile.js';
import { describeSeccomp } from './describe.js';
import { resolveDockerProfile } from './docker-profile.js';
import { seccompFlags } from './flags.js';
import { seccompProgramFault, simulateSeccomp } from './simulate.js';
import type { OciSeccomp } from './types.js';

describe('describeSeccomp', () => {
  it('prints a filter line by line', () => {
    const profile: OciSeccomp = {
      defaultAction: 'SCMP_ACT_ERRNO',
      syscalls: [
        { names: ['read', 'write', 'exit_group'], action: 'SCMP_ACT_ALLOW' },
        { names: ['kill'], action: 'SCMP_ACT_ALLOW', args: [{ index: 1, op: 'SCMP_CMP_GT', value: 0x100000005n }] },
        { names: ['ptrace'], action: 'SCMP_ACT_KILL_PROCESS' },
        { names: ['ioctl'], action: 'SCMP_ACT_LOG', args: [{ index: 1, op: 'SCMP_CMP_MASKED_EQ', value: 0xff00, valueTwo: 0x5400 }] },
      ],
    };
    expect(`\n${describeSeccomp(compileSeccomp(profile, { arch: 'x64' }))}\n`).toMatchInlineSnapshot(`
      "
      0: load arch
      1: if == x86_64 go 2 else 22
      2: load nr
      3: if >= 232 (epoll_wait) go 4 else 5
      4: ERRNO(38)
      5: if >= 63 (uname) go 6 else 8
      6: if >= 231 (exit_group) go 21 else 7
      7: if == 101 (ptrace) go 22 else 20
      8: if >= 2 (open) go 9 else 21
      9: if >= 62 (kill) go 10 else 15
      10: load args[1].high
      11: if > 0x1 go 21 else 12
      12: if == 0x1 go 13 else 20
      13: load args[1].low
      14: if > 0x5 go 21 else 20
      15: if == 16 (ioctl) go 16 else 20
      16: load args[1].low
      17: and 0xff00
      18: if == 0x5400 go 19 else 20
      19: LOG
      20: ERRNO(1)
      21: ALLOW
      22: KILL_PROCESS
      "
    `);
  });

  it('prints foreign programs too', () => {
    const program = encodeProgram([
      { code: 0x20, jt: 0, jf: 0, k: 12 },
      { code: 0x05, jt: 0, jf: 0, k: 1 },
      { code: 0x87, jt: 0, jf: 0, k: 0 },
      { code: 0x06, jt: 0, jf: 0, k: 0x7ff00007 },
    ]);
    expect(describeSeccomp(program)).toBe('0: load ip.high\n1: go 3\n2: unknown 0x87 0 0 0x0\n3: TRACE(7)');
  });
});

describe('seccompProgramFault', () => {
  const ret = { code: 0x06, jt: 0, jf: 0, k: 0 };
  it.each([
    [[], '0 bytes are not 1 to 4096 instructions'],
    [Array(4097).fill(ret), '32776 bytes are not 1 to 4096 instructions'],
    [[{ code: 0x15, jt: 1, jf: 0, k: 0 }, ret], 'instruction 0 jumps out of the program'],
    [[{ code: 0x05, jt: 0, jf: 0, k: 0xffffffff }, ret], 'instruction 0 jumps out of the program'],
    [[{ code: 0x20, jt: 0, jf: 0, k: 2 }, ret], 'instruction 0 loads from offset 2'],
    [[{ code: 0x20, jt: 0, jf: 0, k: 64 }, ret], 'instruction 0 loads from offset 64'],
    [[{ code: 0x07, jt: 0, jf: 0, k: 0 }, ret], 'instruction 0 has the unknown code 0x7'],
    [[{ code: 0x20, jt: 0, jf: 0, k: 0 }], 'the last instruction does not return'],
  ])('%#: %s', (program, fault) => expect(seccompProgramFault(encodeProgram(program))).toBe(fault));

  it('is what the simulation refuses', () => {
    expect(() => simulateSeccomp(new Uint8Array(7), { nr: 0, arch: 'x64' })).toThrow('7 bytes are not 1 to 4096 instructions');
  });
});

describe('Docker profiles', () => {
  const profile: OciSeccomp = {
    defaultAction: 'SCMP_ACT_ERRNO',
    archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] }],
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW', comment: 'always', includes: {}, excludes: {} },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38, excludes: { caps: ['CAP_SYS_ADMIN'], arches: ['s390x'] } },
      { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
      { names: ['arch_prctl'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['amd64', 'x32'] } },
      { names: ['uselib'], action: 'SCMP_ACT_ALLOW', excludes: { minKernel: '5.1' } },
      { names: ['both'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_BPF', 'CAP_PERFMON'] } },
    ],
  };
  const names = (facts: Parameters<typeof resolveDockerProfile>[1]) =>
    resolveDockerProfile(profile, facts).syscalls?.flatMap((rule) => rule.names);

  it('are settled by capabilities, architecture and kernel', () => {
    expect(names({ arch: 'x64', kernel: '6.18.1-x' })).toEqual(['read', 'clone3', 'ptrace', 'arch_prctl']);
    expect(names({ arch: 'arm64', kernel: '4.7', capabilities: ['sys_admin', 'bpf'] })).toEqual(['read', 'mount', 'uselib']);
    expect(names({ arch: 'arm64', kernel: '4.10', capabilities: ['bpf', 'perfmon'] })).toEqual([
      'read',
      'clone3',
      'ptrace',
      'uselib',
      'both',
    ]);
  });

  it('become plain OCI', () => {
    const plain = resolveDockerProfile(profile, { arch: 'x64', kernel: '6.1' });
    expect(plain).not.toHaveProperty('archMap');
    expect(plain.syscalls?.[0]).toEqual({ names: ['read'], action: 'SCMP_ACT_ALLOW' });
    expect(compileSeccomp(profile, { arch: 'x64', kernel: '6.1' })).toEqual(compileSeccomp(plain, { arch: 'x64' }));
  });
});

describe('seccompFlags', () => {
  it('turns names into bits', () => {
    expect(seccompFlags()).toBe(0);
    expect(seccompFlags(['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'])).toBe(34);
    expect(() => seccompFlags(['SECCOMP_FILTER_FLAG_LGO'])).toThrow('did you mean "SECCOMP_FILTER_FLAG_LOG"?');
    expect(() => seccompFlags(['toString'])).toThrow('expected "seccomp.flags[0]"');
  });
});
