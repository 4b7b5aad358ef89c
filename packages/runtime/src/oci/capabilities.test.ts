// The five sets, for root and for others.
import { DEFAULT_CAPABILITIES } from '@ctr/namespaces';
import { describe, expect, it } from 'vitest';
import { capabilitySets } from './capabilities.js';

const base = { preset: DEFAULT_CAPABILITIES, add: [], drop: [], available: undefined, ordinaryUser: false };

describe('capabilitySets', () => {
  it('leaves inheritable and ambient empty for root (CVE-2022-24769)', () => {
    const sets = capabilitySets(base);
    expect([sets.bounding.length, sets.permitted, sets.inheritable, sets.ambient]).toEqual([11, sets.bounding, [], []]);
  });

  it('holds nothing for an ordinary user, who may regain only what was added by name', () => {
    expect(capabilitySets({ ...base, ordinaryUser: true }).permitted).toEqual([]);
    const sets = capabilitySets({ ...base, ordinaryUser: true, add: ['CAP_NET_BIND_SERVICE'] });
    expect([sets.permitted, sets.effective, sets.inheritable, sets.ambient]).toEqual(Array(4).fill(['CAP_NET_BIND_SERVICE']));
  });

  it.each([
    ['drop all', { drop: 'all' as const }, []],
    ['drop all, add one', { drop: 'all' as const, add: ['CAP_KILL'] }, ['CAP_KILL']],
    ['drop ALL in a list', { drop: ['CAP_ALL'] }, []],
    ['only what is available', { available: ['CAP_CHOWN', 'CAP_SYS_ADMIN'] }, ['CAP_CHOWN']],
    ['what is added stays, to be refused by the kernel', { available: [], add: ['CAP_SYS_TIME'] }, ['CAP_SYS_TIME']],
  ])('%s', (_, wish, bounding) => expect(capabilitySets({ ...base, ...wish }).bounding).toEqual(bounding));

  it('adds all', () => expect(capabilitySets({ ...base, add: ['CAP_ALL'], drop: ['CAP_SYS_BOOT'] }).bounding).toHaveLength(40));
});
