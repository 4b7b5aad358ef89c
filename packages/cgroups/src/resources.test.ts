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
    checkResources({
      cpus: 1,
      cpuPeriodUs: 50_000,
      cpuBurstUs: 50_000,
      cpuShares: 2,
      cpuUclampMin: 12.5,
      cpuUclampMax: 100,
      cpusetPartition: 'isolated',
      memoryMin: 0,
      memorySwappiness: 0,
      oomKillDisable: false,
      ioWeight: 1,
      hugetlb: { '2MB': 0, '1GB': null },
      rdma: { mlx4_0: { hcaHandles: 2, hcaObjects: null } },
      misc: { sev: 1 },
      devices: [{ allow: true, type: 'c', major: 1, minor: 3, access: 'rw' }, { allow: false }],
      netClassId: 0xffff_ffff,
      netPriorities: { 'eth0.5': 2 },
    });
    checkResources({ cpuWeight: null, cpus: null, cpusetCpus: null, memory: null, memorySwap: null, pids: null, ioWeight: null });
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
        "expected "resources.memroy" to be one of cpus, cpuPeriodUs, cpuBurstUs, cpuWeight, cpuShares, cpuIdle, cpuUclampMin, cpuUclampMax, cpuRealtimeRuntimeUs, cpuRealtimePeriodUs, cpusetCpus, cpusetMems, cpusetPartition, memory, memoryReservation, memoryHigh, memoryMin, memorySwap, memorySwappiness, oomKillDisable, oomGroup, pids, ioWeight, blkioWeight, io, hugetlb, rdma, misc, devices, netClassId, netPriorities, unified (did you mean "memory"?), received "memroy" (string)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received "512m" (string)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received -1 (number)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received 5000.5 (number)",
        "expected "resources.memory" to be a whole number of bytes from 4096 to 9007199254740991, received Infinity (number)",
        "expected "resources.cpus" to be a number of cores from 0.01 to 8192, received 0 (number)",
        "expected "resources.cpus" to be a number of cores from 0.01 to 8192, received NaN (number)",
        "expected "resources.pids" to be a whole number from 1 to 4194304, received 0 (number)",
        "expected "resources.cpusetCpus" to be a list of numbers and ranges such as "0-3,6", received "0-3\\u0000" (string)",
        "expected "resources.oomGroup" to be true or false, received 1 (number)",
        "expected "resources.devices" to be "default", "all" or a list of rules, received "none" (string)",
        "expected "resources.unified" to be an object of cgroup v2 file names and their texts, received "x" (string)",
        "expected "resources.unified[\\"../memory.max\\"]" to be named like a controller’s file, such as "memory.min", received "../memory.max" (string)",
        "expected "resources.unified[\\"cgroup.procs\\"]" to be named like a controller’s file, such as "memory.min", received "cgroup.procs" (string)",
        "expected "resources.unified[\\"memory.min\\"]" to be one line of text, received "1\\n2" (string)",
      ]
    `);
  });

  it('refuses every wrong type, NUL, length and sign of every option', () => {
    const wrong = ['a\0b', 'x'.repeat(100_000), -1, Number.NaN, {}, [], Symbol('x'), () => 1, 1n];
    for (const name of RESOURCE_NAMES)
      for (const value of wrong) {
        const objects = ['unified', 'hugetlb', 'rdma', 'misc', 'netPriorities'];
        if (objects.includes(name) && typeof value === 'object' && !Array.isArray(value)) continue;
        if (['io', 'devices'].includes(name) && Array.isArray(value)) continue;
        expect(refusal({ [name]: value }), `${name}: ${String(value).slice(0, 20)}`).toContain(`"resources.${name}`);
      }
  });

  it('refuses what the kernel would take for something else: names with slashes, blanks and newlines', () => {
    expect([
      refusal({ hugetlb: { '../memory.max': 1 } }),
      refusal({ rdma: { 'a b': {} } }),
      refusal({ rdma: { 'mlx4_0\nmlx5_0': {} } }),
      refusal({ misc: { 'sev\n': 1 } }),
      refusal({ netPriorities: { '../x': 1 } }),
      refusal({ io: [{ device: '8:0\n8:1 rbps=1' }] }),
      refusal({ io: [{ device: '/dev/null', readBps: 1 }] }),
      refusal({ io: [{ device: '/no/such', readBps: 1 }] }),
      refusal({ io: [{ device: '259:1048570', readBps: 1 }] }),
      refusal({ io: [{ readBps: 1 }] }),
      refusal({ devices: [{ allow: true, type: 'p' }] }),
      refusal({ devices: [{ allow: true, major: 4096 }] }),
      refusal({ devices: [{ allow: true, access: 'rr' }] }),
      refusal({ devices: [{ type: 'c' }] }),
      refusal({ cpusetCpus: '0\n' }),
    ]).toMatchInlineSnapshot(`
      [
        "expected "resources.hugetlb[\\"../memory.max\\"]" to be a page size such as "2MB", received "../memory.max" (string)",
        "expected "resources.rdma[\\"a b\\"]" to be a plain name, received "a b" (string)",
        "expected "resources.rdma[\\"mlx4_0\\\\nmlx5_0\\"]" to be a plain name, received "mlx4_0\\nmlx5_0" (string)",
        "expected "resources.misc[\\"sev\\\\n\\"]" to be a plain name, received "sev\\n" (string)",
        "expected "resources.netPriorities[\\"../x\\"]" to be the name of a network interface, received "../x" (string)",
        "expected "resources.io[0].device" to be a block device such as "/dev/sda" or "8:0", received "8:0\\n8:1 rbps=1" (string)",
        "expected "resources.io[0].device" to be a block device, received "/dev/null" (string)",
        "expected "resources.io[0].device" to be a block device that is there, received "/no/such" (string)",
        "expected "resources.io[0].device" to be a block device that is there, received "259:1048570" (string)",
        "expected "resources.io[0].device" to be given, received undefined",
        "expected "resources.devices[0].type" to be "a" or "b" or "c", received "p" (string)",
        "expected "resources.devices[0].major" to be a number from 0 to 4095, received 4096 (number)",
        "expected "resources.devices[0].access" to be letters of "rwm", each once, received "rr" (string)",
        "expected "resources.devices[0].allow" to be given, received undefined",
        "expected "resources.cpusetCpus" to be a list of numbers and ranges such as "0-3,6", received "0\\n" (string)",
      ]
    `);
  });

  it('refuses two words for one limit, and halves of a pair', () => {
    expect([
      refusal({ cpuWeight: 1, cpuShares: 2 }),
      refusal({ cpuIdle: true, cpuWeight: 1 }),
      refusal({ cpuPeriodUs: 1000 }),
      refusal({ cpus: 0.5, cpuBurstUs: 60_000 }),
      refusal({ cpuUclampMin: 50, cpuUclampMax: 10 }),
      refusal({ ioWeight: 1, blkioWeight: 10 }),
    ]).toMatchInlineSnapshot(`
      [
        "expected "resources.cpuShares" to be left out beside cpuWeight: both say the same, received 2 (number)",
        "expected "resources.cpuIdle" to be false beside a weight, received true (boolean)",
        "expected "resources.cpuPeriodUs" to be given together with cpus, received 1000 (number)",
        "expected "resources.cpuBurstUs" to be at most what cpus gives in a period, received 60000 (number)",
        "expected "resources.cpuUclampMin" to be at most cpuUclampMax, 10, received 50 (number)",
        "expected "resources.blkioWeight" to be left out beside ioWeight: both say the same, received 10 (number)",
      ]
    `);
  });

  it('does not take names of Object.prototype for options', () => {
    expect(refusal({ toString: 1 })).toContain('one of cpus');
    expect(refusal(JSON.parse('{"__proto__": 1}'))).toContain('one of cpus');
  });
});
