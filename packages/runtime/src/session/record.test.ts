// The session's record: what is written, and that a note can name nothing but the session's own things.
import { describe, expect, it } from 'vitest';
import { describeEnd, describeRecord, type Intent, parseIntent } from './record.js';

const nonce = '0123456789abcdef';
const intent: Intent = {
  version: 1,
  nonce,
  bootId: 'b00t',
  cgroups: [`/sys/fs/cgroup/memory/ctr.${nonce}`],
  uppers: `/var/lib/ctr/containers/${nonce}`,
};

describe('the record', () => {
  it('is locked before anything is noted, and looked for afterwards', () =>
    expect(describeRecord(`/run/ctr/${nonce}`, intent).map((s) => s.call)).toEqual([
      'mkdirat',
      'openat',
      'flock',
      'openat',
      'write',
      'close',
      'faccessat',
    ]));

  it('is removed last, and only when no cgroup and no layer is left', () => {
    const steps = describeEnd('/run/ctr/x', { cgroups: ['/a/in', '/a'], uppers: '/u' });
    expect(steps.map((s) => [s.call, s.skipOnSuccess ?? 0])).toEqual([
      ['unlinkat', 0],
      ['unlinkat', 0],
      ['remove_tree', 0],
      ['faccessat', 3],
      ['faccessat', 2],
      ['faccessat', 1],
      ['remove_tree', 0],
    ]);
  });

  it('is read back', () => expect(parseIntent(JSON.stringify(intent), nonce)).toEqual(intent));

  it.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['another version', JSON.stringify({ ...intent, version: 2 })],
    ['another session', JSON.stringify({ ...intent, nonce: 'fedcba9876543210' })],
    ["a cgroup that is not the session's", JSON.stringify({ ...intent, cgroups: ['/sys/fs/cgroup/system.slice'] })],
    ['a cgroup reached by ..', JSON.stringify({ ...intent, cgroups: [`/sys/fs/cgroup/ctr.${nonce}/../..`] })],
    ['a relative folder', JSON.stringify({ ...intent, uppers: `containers/${nonce}` })],
    ['a folder of somebody else', JSON.stringify({ ...intent, uppers: '/home/user' })],
    ['a wrong type', JSON.stringify({ ...intent, cgroups: 'all' })],
  ])('%s is no note', (_, text) => expect(parseIntent(text, nonce)).toBeUndefined());
});
