// Names, choices and masks of capabilities, and the bytes for capset(2).
import { describe, expect, it } from 'vitest';
import {
  CAPABILITIES,
  capabilitiesOf,
  capabilityMask,
  checkCapabilitySets,
  chooseCapabilities,
  DEFAULT_CAPABILITIES,
  encodeCapset,
  parseCapability,
} from './capabilities.js';

describe('capabilities', () => {
  it('are the 41 of the kernel', () => {
    expect(CAPABILITIES.length).toBe(41);
    expect([0, 21, 31, 32, 40].map((n) => CAPABILITIES[n])).toEqual([
      'CAP_CHOWN',
      'CAP_SYS_ADMIN',
      'CAP_SETFCAP',
      'CAP_MAC_OVERRIDE',
      'CAP_CHECKPOINT_RESTORE',
    ]);
  });

  it.each(['CAP_CHOWN', 'cap_chown', 'CHOWN', 'chown', 'Chown'])('%s is CAP_CHOWN', (text) => {
    expect(parseCapability(text)).toBe('CAP_CHOWN');
  });

  it.each([
    ['CAP_NET_RWA', 'did you mean "CAP_NET_RAW"?'],
    ['sys_admn', 'did you mean "SYS_ADMIN"?'],
    ['', 'received "" (string)'],
    ['CAP_CHOWN\0', 'expected "x[0]"'],
    [7, 'received 7 (number)'],
    [undefined, 'received undefined'],
    ['ALL', 'received "ALL"'],
  ])('%j is refused', (value, message) => {
    expect(() => parseCapability(value, 'x[0]')).toThrow(message);
  });
});

describe('chooseCapabilities', () => {
  const eleven = [...DEFAULT_CAPABILITIES];

  it('leaves the base alone when nothing is chosen', () => {
    expect(chooseCapabilities({}).sort()).toEqual(eleven.sort());
  });

  it('adds and drops by name, each once, in order', () => {
    expect(chooseCapabilities({ add: ['net_raw', 'CAP_NET_RAW'], drop: ['chown'] }, ['CAP_KILL', 'CAP_CHOWN'])).toEqual([
      'CAP_KILL',
      'CAP_NET_RAW',
    ]);
  });

  it('takes all, all but some, none, and none but some', () => {
    expect(chooseCapabilities({ add: 'all' })).toEqual([...CAPABILITIES]);
    expect(chooseCapabilities({ add: ['ALL'], drop: ['sys_admin'] })).toEqual(CAPABILITIES.filter((c) => c !== 'CAP_SYS_ADMIN'));
    expect(chooseCapabilities({ drop: 'all' })).toEqual([]);
    expect(chooseCapabilities({ drop: ['ALL'], add: ['kill'] })).toEqual(['CAP_KILL']);
  });

  it.each([
    [{ add: ['chown'], drop: ['CAP_CHOWN'] }, 'expected "capabilities.drop" to be free of what add names, received "CAP_CHOWN"'],
    [{ add: 'all', drop: 'all' }, 'received "ALL"'],
    [{ add: ['chwon'] }, 'expected "capabilities.add[0]"'],
    [{ drop: 7 as unknown as string }, 'expected "capabilities.drop" to be a list of capabilities'],
    [{ drop: [null] as unknown as string[] }, 'expected "capabilities.drop[0]"'],
  ])('refuses %j', (choice, message) => {
    expect(() => chooseCapabilities(choice)).toThrow(message);
  });
});

describe('masks and bytes', () => {
  it('go from names to bits and back', () => {
    expect(capabilityMask(DEFAULT_CAPABILITIES)).toBe(0x800405fbn);
    expect(capabilityMask(CAPABILITIES)).toBe(0x1ffffffffffn);
    expect(capabilitiesOf(0x1ffffffffffn)).toEqual([...CAPABILITIES]);
    expect(capabilitiesOf((1n << 63n) | 1n)).toEqual(['CAP_CHOWN']);
    expect(() => capabilityMask(['nothing'])).toThrow('expected "capabilities[0]"');
  });

  it('make the header and the data of capset', () => {
    const { header, data } = encodeCapset({ effective: ['CAP_CHOWN'], permitted: ['CAP_CHOWN', 'CAP_BPF'], inheritable: [] });
    expect(Buffer.from(header).toString('hex')).toBe('2205082000000000');
    expect([...new Uint32Array(data.buffer)]).toEqual([1, 1, 0, 0, 1 << 7, 0]);
  });
});

describe('checkCapabilitySets', () => {
  const none = { effective: [], permitted: [], inheritable: [], bounding: [], ambient: [] };

  it('writes the names in full', () => {
    expect(checkCapabilitySets({ ...none, permitted: ['kill', 'chown'], effective: ['kill'] })).toEqual({
      ...none,
      permitted: ['CAP_CHOWN', 'CAP_KILL'],
      effective: ['CAP_KILL'],
    });
  });

  it.each([
    [{ effective: ['kill'] }, 'expected "capabilities.effective" to be within capabilities.permitted, received "CAP_KILL"'],
    [{ ambient: ['kill'] }, 'expected "capabilities.ambient" to be within capabilities.permitted'],
    [{ ambient: ['kill'], permitted: ['kill'] }, 'expected "capabilities.ambient" to be within capabilities.inheritable'],
    [{ bounding: ['all'] }, 'expected "capabilities.bounding[0]"'],
  ])('refuses %j', (sets, message) => {
    expect(() => checkCapabilitySets({ ...none, ...sets })).toThrow(message);
  });
});
