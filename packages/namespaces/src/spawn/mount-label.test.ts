import { named, type Step, slot } from '@ctr/internal/steps';
import { describe, expect, it } from 'vitest';
import { describeStep } from '../plan/describe-plan.js';
import { describeSpawn } from './compile-spawn.js';
import { labelMounts } from './mount-label.js';

const LABEL = 'system_u:object_r:container_file_t:s0:c1,c2';
const lines = (steps: readonly Step[]): string[] => steps.map(describeStep);
const root: Step[] = [
  { call: 'fsopen', args: ['overlay', 1], into: 'root.fs' },
  { call: 'fsconfig', args: [slot('root.fs'), named(1, 'FSCONFIG_SET_STRING'), 'source', 'overlay', 0] },
  { call: 'fsconfig', args: [slot('root.fs'), named(6, 'FSCONFIG_CMD_CREATE'), null, null, 0] },
  { call: 'fsmount', args: [slot('root.fs'), 1, 0], into: 'root' },
];

describe('mountLabel', () => {
  it('is given to each new file system that takes one, the root too, before it is made', () => {
    const plan = describeSpawn({
      args: ['true'],
      namespaces: { mount: 'new', pid: 'new', ipc: 'new' },
      mountLabel: LABEL,
      root: { steps: root, slot: 'root' },
      mounts: [
        { type: 'proc', target: '/proc' },
        { type: 'dev', target: '/dev' },
        { type: 'devpts', target: '/dev/pts' },
        { type: 'mqueue', target: '/dev/mqueue' },
        { type: 'tmpfs', target: '/tmp' },
        { type: 'bind', source: '/srv', target: '/srv' },
        { type: 'sysfs', target: '/sys' },
      ],
    });
    const all = lines(plan.stages.setup.flat());
    const labelled = all.filter((line) => line.includes('"context"'));
    expect(labelled).toEqual(
      ['root.fs', 'dev.fs', 'mount2.fs', 'mount4.fs'].map((fs) => `fsconfig(${fs}, FSCONFIG_SET_STRING, "context", "${LABEL}", 0)`),
    );
    for (const line of labelled) expect(all[all.indexOf(line) + 1]).toMatch(/FSCONFIG_CMD_CREATE/);
    // The message queues are there before they are mounted: only their root can be labelled.
    const set = all.findIndex((line) => line.startsWith('fsetxattr'));
    expect(all.slice(set - 2, set + 2)).toEqual([
      expect.stringMatching(/^mount3 = fsmount\(mount3\.fs/),
      'label.root = openat(mount3, ".", O_RDONLY|O_DIRECTORY|O_CLOEXEC)',
      `fsetxattr(label.root, "security.selinux", "${LABEL}", ${LABEL.length}, 0)`,
      'close(label.root)',
    ]);
  });

  it('skips what it adds behind a step too', () => {
    const queues: Step[] = [
      { call: 'getpid', args: [], skipOnSuccess: 2 },
      { call: 'fsopen', args: ['mqueue', 1], into: 'q.fs' },
      { call: 'fsmount', args: [slot('q.fs'), 1, 0], into: 'q' },
      { call: 'getppid', args: [] },
    ];
    const made = labelMounts(queues, LABEL);
    expect([made.length, made[0]?.skipOnSuccess, made[6]?.call]).toEqual([7, 5, 'getppid']);
  });

  it('leaves what is skipped the same', () => {
    const steps: Step[] = [
      { call: 'getpid', args: [], skipOnSuccess: 4 },
      ...root,
      { call: 'getpid', args: [], allow: ['EPERM'], skipOnAllowed: 1 },
    ];
    const made = labelMounts(steps, LABEL);
    expect(made.map((s) => s.skipOnSuccess ?? s.skipOnAllowed)).toEqual([5, undefined, undefined, undefined, undefined, undefined, 1]);
    expect(labelMounts(steps.slice(0, 1), LABEL)).toEqual(steps.slice(0, 1));
  });
});
