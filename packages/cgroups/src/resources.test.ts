import { describe, expect, it } from 'vitest';
import { checkResources, RESOURCE_NAMES } from './resources.js';

const refusal = (r: unknown): string => {
  try {
    checkResources(r);
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
};

describe('checking resources', () => {
  it('takes what is right, and undefined for everything', () => {
    checkResources({});
    checkResources(Object.fromEntries(RESOURCE_NAMES.map((n) => [n, undefined])));
    checkResources({
      cpus: 0.5,
      cpuWeight: 100,
      cpusetCpus: '0-3,6',
      cpusetMems: '0',
      memory: 4096,
      memoryReservation: 0,
      memoryHigh: 2 ** 40,
      memorySwap: 0,
      pids: 1,
      oomGroup: true,
      devices: 'default',
      unified: { 'memory.min': '0', 'hugetlb.2MB.max': 'max' },
    });
  });

  it('names the place, what is right and what came', () => {
    expect([
      refusal(null),
      refusal([]),
      refusal({ memroy: 1 }),
      refusal({ memory: '512m' }),
      refusal({ memory: -1 }),
      refusal({ memory: 5000.5 }),
      refusal({ memory: Number.POSITIVE_INFINITY }),
      refusal({ cpus: 0 }),
      refusal({ cpus: Number.NaN }),
      refusal({ pids: 0 }),
      refusal({ cpusetCpus: '0-3\0' }),
      refusal({ oomGroup: 1 }),
      refusal({ devices: 'none' }),
      refusal({ unified: 'x' }),
      refusal({ unified: { '../memory.max': '1' } }),
      refusal({ unified: { 'cgroup.procs': '1' } }),
      refusal({ unified: { 'memory.min': '1\n2' } }),
    ]).toMatchInlineSnapshot(`
      [
        "expected "resources" to be an object of limits, received null",
        "expected "resources" to be an object of limits, received an array of 0",
        "expected "resources.memroy" to be one of cpus, cpuWeight, cpusetCpus, cpusetMems, memory, memoryReservation, memoryHigh, memorySwap, pids, oomGroup, devices, unified, received "memroy" (string)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received "512m" (string)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received -1 (number)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received 5000.5 (number)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received Infinity (number)",
        "expected "resources.cpus" to be a number of cores from 0.01 to 8192, received 0 (number)",
        "expected "resources.cpus" to be a number of cores from 0.01 to 8192, received NaN (number)",
        "expected "resources.pids" to be a whole number from 1 to 4194304, received 0 (number)",
        "expected "resources.cpusetCpus" to be a list of numbers and ranges such as "0-3,6", received "0-3\\u0000" (string)",
        "expected "resources.oomGroup" to be true or false, received 1 (number)",
        "expected "resources.devices" to be "default" or "all", received "none" (string)",
        "expected "resources.unified" to be an object of cgroup v2 file names and their texts, received "x" (string)",
        "expected "resources.unified[\\"../memory.max\\"]" to be named like a controller’s file, such as "memory.min", received "../memory.max" (string)",
        "expected "resources.unified[\\"cgroup.procs\\"]" to be named like a controller’s file, such as "memory.min", received "cgroup.procs" (string)",
        "expected "resources.unified[\\"memory.min\\"]" to be one line of text, received "1\\n2" (string)",
      ]
    `);
  });

  it('refuses every wrong type, NUL, length and sign of every option', () => {
    const wrong = [null, 'a\0b', 'x'.repeat(100_000), -1, Number.NaN, {}, [], Symbol('x'), () => 1, 1n];
    for (const name of RESOURCE_NAMES)
      for (const value of wrong) {
        if (name === 'unified' && typeof value === 'object' && value !== null && !Array.isArray(value)) continue;
        expect(refusal({ [name]: value }), `${name}: ${String(value).slice(0, 20)}`).toContain(`"resources.${name}`);
      }
  });

  it('does not take names of Object.prototype for options', () => {
    expect(refusal({ toString: 1 })).toContain('one of cpus');
    expect(refusal(JSON.parse('{"__proto__": 1}'))).toContain('one of cpus');
  });
});
