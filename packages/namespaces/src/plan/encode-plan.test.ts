// Plans as messages.
import { named, type Step, slot } from '@ctr/internal/steps';
import { describe, expect, it } from 'vitest';
import { describeSpawn, InvalidArgumentError, syscallNumber } from '../index.js';
import { encodePlan, MAX_DATAGRAM } from './encode-plan.js';
import { decodeMessage } from './fixtures.js';
import { holdPlan, type Plan } from './plan.js';

const decode = (plan: Plan, kind: 'launch' | 'hold' = 'launch') => decodeMessage(encodePlan(plan, 77, kind));

const plan = (setup: readonly Step[], more: Partial<Plan> = {}): Plan => ({
  doing: 'test',
  cloneFlags: [],
  fds: {},
  stages: { prepare: [], beside: [], enter: [], setup: [setup], kill: [], collect: [], cleanup: [] },
  ...more,
});

const only = (step: Step) => decode(plan([step])).launch.steps[0];

describe('encodePlan', () => {
  it('writes the header', () => {
    const p = plan([], { cloneFlags: ['CLONE_NEWPID', 'CLONE_NEWNET'], fds: { stdin: 5, stdout: 6 }, cgroup: 'cg', sharesMemory: true });
    const { header, fds, large } = decode(p);
    expect({ ...header, cgroup: header.cgroup >= 0 }).toEqual({
      magic: 'ctr1',
      kind: 1,
      fdCount: 2,
      id: 77,
      flags: 1,
      clone: 0x60000000n,
      cgroup: true,
    });
    expect([fds, large]).toEqual([[5, 6], false]);
    expect(decode(plan([]), 'hold').header.kind).toBe(2);
    expect(decode(plan([])).header.cgroup).toBe(-1);
  });

  it('writes every kind of argument', () => {
    expect(only({ call: 'openat', args: [-100, '/etc', named(0x80000, 'O_CLOEXEC'), null, 2 ** 40, -1], into: 'a' })).toMatchObject({
      op: 0,
      nr: syscallNumber('openat'),
      args: ['-100', '"/etc"', '524288', '0', '1099511627776', '-1'],
    });
    expect(only({ call: 'mmap', args: [0xffffffffffffffffn, 1n << 63n, 0xdeadbeefcafen] })?.args.slice(0, 3)).toEqual([
      '-1',
      '-9223372036854775808',
      '244837814094590',
    ]);
    expect(only({ call: 'read', args: [slot('x'), { bytes: Buffer.from('bytes\0') }, 6] })?.args).toEqual([
      expect.stringMatching(/^slot \d+$/),
      '"bytes"',
      '6',
      '0',
      '0',
      '0',
    ]);
  });

  it('writes text as UTF-8, of any length', () => {
    const texts = ['', 'plain', 'ünï', '漢字', '\u{1f980}', 'mixed \u{1f980} end', 'x'.repeat(70_000), `${'y'.repeat(40_000)}é`];
    expect(decode(plan([{ call: 'execve', args: ['/x', { strings: texts }, { strings: [] }] }])).launch.steps[0]?.args[1]).toBe(
      `[${texts.map((t) => `"${t}"`)}]`,
    );
  });

  it('points into bytes that point to bytes: a struct with a buffer and a descriptor', () => {
    const inner = { bytes: Buffer.from('filter\0') };
    const outer = {
      bytes: Buffer.alloc(24),
      patches: [
        { at: 8, value: inner },
        { at: 16, value: slot('fd') },
      ],
    };
    const s = only({ call: 'seccomp', args: [1, 0, outer] });
    expect(s?.args[2]).toBe('""');
    const { message } = encodePlan(plan([{ call: 'seccomp', args: [1, 0, outer] }]), 1, 'launch');
    expect(Buffer.from(message).includes('filter')).toBe(true);
  });

  it('writes allowed errnos and skips', () => {
    expect(only({ call: 'mkdirat', args: [], allow: ['EEXIST', 'EROFS'], skipOnAllowed: 3, skipOnSuccess: 200 })).toMatchObject({
      allow: [17, 30],
      skip: [3, 200],
    });
  });

  it('gives a name the same slot in all stages, and in every plan', () => {
    const a = { call: 'openat', args: [], into: 'shared name' } as Step;
    const b = { call: 'close', args: [slot('shared name')] } as Step;
    const d = decode(plan([a, b], { fds: { 'shared name': 3 } }));
    const again = decode(plan([b, a]));
    expect(d.launch.steps[1]?.args[0]).toBe(`slot ${d.launch.steps[0]?.into}`);
    expect(again.launch.steps[0]?.args[0]).toBe(d.launch.steps[1]?.args[0]);
  });

  it('encodes frozen groups and others alike, in any order and again and again', () => {
    const group = (n: number): Step[] => [
      { call: 'execve', args: [`/${n}`, { strings: [`a${n}`, `b${n}`] }, { strings: [] }] },
      { call: 'mkdirat', args: [-100, `/dir${n}`, 0o755] },
    ];
    const frozen = Object.freeze(group(1));
    const expected = (n: number) => [
      [`"/${n}"`, `["a${n}","b${n}"]`, '""'],
      ['-100', `"/dir${n}"`, '493'],
    ];
    for (let round = 0; round < 3; round++) {
      const p = plan([], {
        stages: {
          prepare: [frozen],
          beside: [],
          enter: [],
          setup: [group(2), frozen, group(3)],
          kill: [],
          collect: [frozen],
          cleanup: [group(4)],
        },
      });
      const d = decode(p);
      expect(d.launch.steps.map((s) => s.args.slice(0, 3))).toEqual([...expected(1), ...expected(2), ...expected(1), ...expected(3)]);
      expect(d.after.steps.map((s) => s.args.slice(0, 3))).toEqual([...expected(1), ...expected(4)]);
      expect([d.launch.counts, d.after.counts]).toEqual([
        [2, 0, 0, 6],
        [0, 2, 2, 0],
      ]);
    }
  });

  it('writes a list once for all the steps that have it', () => {
    const [argv, envp] = [{ strings: ['tool', 'x'] }, { strings: Array.from({ length: 1000 }, (_, i) => `V${i}=value`) }];
    const tries = Array.from({ length: 20 }, (_, i): Step => ({ call: 'execve', args: [`/dir${i}/tool`, argv, envp], allow: ['ENOENT'] }));
    const d = decode(plan(tries));
    for (const s of d.launch.steps) expect([s.args[1], s.args[2]?.length]).toEqual(['["tool","x"]', d.launch.steps[0]?.args[2]?.length]);
    expect(encodePlan(plan(tries), 1, 'launch').message.length).toBeLessThan(60_000);
  });

  it('writes the maps as text', () => {
    const d = decode(plan([], { idMaps: { uid: '0 1000 1\n', gid: '0 100 1\n5 5 1\n', denySetgroups: true } }));
    expect([d.header.flags, d.map(36), d.map(40)]).toEqual([6, '0 1000 1\n', '0 100 1\n5 5 1\n']);
  });

  it('puts what is too large for a datagram into a memfd, whose place is the last', () => {
    const d = decode(plan([{ call: 'execve', args: ['/x', { strings: ['x'.repeat(MAX_DATAGRAM)] }, { strings: [] }] }], { fds: { a: 9 } }));
    expect([d.large, d.header.flags, d.header.fdCount, d.fds]).toEqual([true, 8, 2, [9]]);
    expect(d.launch.steps[0]?.args[1]?.length).toBe(MAX_DATAGRAM + 4);
  });

  it.each([
    ['a NUL', { call: 'chdir', args: ['a\0b'] }],
    ['a NUL behind other characters', { call: 'chdir', args: ['é\0b'] }],
    ['an unknown call', { call: 'opnat', args: [] }],
    ['an unknown errno', { call: 'chdir', args: [], allow: ['ENOTHING'] }],
    ['seven arguments', { call: 'chdir', args: [1, 2, 3, 4, 5, 6, 7] }],
  ] as [string, Step][])('refuses %s', (_, step) => {
    expect(() => encodePlan(plan([step]), 1, 'launch')).toThrow();
  });

  it('refuses more descriptors than fit', () => {
    const fds = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`fd${i}`, i]));
    expect(() => encodePlan(plan([], { fds }), 1, 'launch')).toThrow(InvalidArgumentError);
  });

  it('has no limit for the names of slots over the life of a program', () => {
    for (let i = 0; i < 2000; i++) expect(() => encodePlan(plan([{ call: 'close', args: [slot(`own ${i}`)] }]), 1, 'launch')).not.toThrow();
    const many = Array.from({ length: 200 }, (_, i): Step => ({ call: 'close', args: [slot(`other ${i}`)] }));
    expect(() => encodePlan(plan(many), 1, 'launch')).toThrow('at most 128 further slots');
  });

  it('writes whole containers that read back as they were described', () => {
    const p = describeSpawn(
      {
        args: ['sh', '-c', 'x'],
        env: { A: 'b' },
        namespaces: { mount: 'new', pid: 'new' },
        mounts: [{ type: 'dev', target: '/dev' }],
        maskedPaths: ['/x'],
      },
      { uid: 0, gid: 0 },
    );
    const d = decode(p);
    const described = [...p.stages.prepare, ...p.stages.beside, ...p.stages.enter, ...p.stages.setup].flat();
    const names = new Map(described.map((s) => [s.call, s]));
    expect(d.launch.steps.length).toBe(described.length);
    d.launch.steps.forEach((s, i) => {
      const call = described[i]?.call as string;
      expect([i, s.nr]).toEqual([i, s.op === 0 ? syscallNumber(call) : 0]);
    });
    expect(names.size).toBeGreaterThan(15);
    expect(
      decode(holdPlan('hold', [{ call: 'getpid', args: [] }], [{ call: 'remove_tree', args: ['/x'] }]), 'hold').after.steps[0],
    ).toMatchObject({ op: 2, args: ['"/x"', '0', '0', '0', '0', '0'] });
  });
});
