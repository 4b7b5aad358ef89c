// OCI's and Docker's words in ours, and from there to the files that the OCI runtimes would write.
import { describe, expect, it } from 'vitest';
import { describeCgroup } from '../plan/describe.js';
import { hybridParent, unifiedParent } from '../plan/fixtures.js';
import { type DockerResources, resourcesFromDocker } from './docker.js';
import { type OciLinuxResources, resourcesFromOci } from './oci.js';

const MB = 1024 * 1024;

const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    return (error as Error).message;
  }
  return 'accepted';
};

/** 'file=value' of the writes. */
function written(parent: ReturnType<typeof hybridParent>, r: Parameters<typeof describeCgroup>[2]): string[] {
  const { prepare, beside } = describeCgroup(parent, 'web', r);
  return [...prepare, ...beside].flatMap((s) => (s.call === 'write' ? [`${s.path?.split('/').at(-1)}=${String(s.args[1])}`] : []));
}

describe('OCI resources', () => {
  it('become ours', () => {
    expect(
      resourcesFromOci({
        memory: { limit: 64 * MB, reservation: 32 * MB, swap: 96 * MB, swappiness: 0, disableOOMKiller: false, kernel: 5 },
        cpu: { shares: 512, quota: 50_000, period: 50_000, burst: 1000, cpus: '0', mems: '' },
        blockIO: {
          weight: 500,
          throttleWriteBpsDevice: [{ major: 8, minor: 0, rate: 1000 }],
          throttleReadIOPSDevice: [{ major: 8, minor: 0, rate: 0 }],
          weightDevice: [{ major: 8, minor: 16, weight: 1000 }],
        },
        pids: { limit: 20 },
        hugepageLimits: [{ pageSize: '2MB', limit: 0 }],
        network: { classID: 7, priorities: [{ name: 'eth0', priority: 3 }] },
        rdma: { mlx5_1: { hcaHandles: 3 } },
        unified: { 'memory.high': '1' },
        devices: [
          { allow: false, access: 'rwm' },
          { allow: true, type: 'c', major: 1, minor: -1, access: 'r' },
        ],
      }),
    ).toEqual({
      memory: 64 * MB,
      memoryReservation: 32 * MB,
      memorySwap: 32 * MB,
      memorySwappiness: 0,
      cpuShares: 512,
      cpus: 1,
      cpuPeriodUs: 50_000,
      cpuBurstUs: 1000,
      cpusetCpus: '0',
      blkioWeight: 500,
      io: [
        { device: '8:0', writeBps: 1000, readIops: null },
        { device: '8:16', weight: 10_000 },
      ],
      pids: 20,
      hugetlb: { '2MB': 0 },
      netClassId: 7,
      netPriorities: { eth0: 3 },
      rdma: { mlx5_1: { hcaHandles: 3 } },
      unified: { 'memory.high': '1' },
      devices: [
        { allow: false, access: 'rwm' },
        { allow: true, type: 'c', major: 1, access: 'r' },
      ],
    });
  });

  it('-1 is no limit, 0 and nothing are no word', () => {
    expect(resourcesFromOci({ memory: { limit: -1 }, cpu: { quota: -1, shares: 0 }, pids: { limit: -1 } })).toEqual({
      memory: null,
      memorySwap: null,
      cpus: null,
      pids: null,
    });
    expect(resourcesFromOci({ memory: { limit: 0 }, cpu: { quota: 0, period: 5000 }, pids: { limit: 0 }, blockIO: { weight: 0 } })).toEqual(
      {},
    );
    expect(resourcesFromOci({})).toEqual({});
    // No word about swap is no limit of swap, as runc has it.
    expect(resourcesFromOci({ memory: { limit: MB } })).toEqual({ memory: MB, memorySwap: null });
  });

  it('arrive in the files as runc writes them', () => {
    const oci: OciLinuxResources = { memory: { limit: MB, swap: 3 * MB }, cpu: { shares: 1024, quota: 20_000 }, pids: { limit: 9 } };
    expect(written(unifiedParent(), resourcesFromOci(oci))).toEqual([
      'cpu.max=20000 100000',
      'cpu.weight=100',
      `memory.max=${MB}`,
      `memory.swap.max=${2 * MB}`,
      'pids.max=9',
    ]);
    expect(written(hybridParent(), resourcesFromOci(oci))).toEqual([
      'cpu.cfs_quota_us=20000',
      'cpu.shares=1024',
      `memory.limit_in_bytes=${MB}`,
      `memory.memsw.limit_in_bytes=${3 * MB}`,
      'pids.max=9',
    ]);
  });

  it('are refused where they are wrong', () => {
    expect([
      refusal(() => resourcesFromOci({ memory: { limit: 2 * MB, swap: MB } })),
      refusal(() => resourcesFromOci({ memory: { limit: -2 } })),
      refusal(() => resourcesFromOci({ cpus: 1 } as object)),
      refusal(() => resourcesFromOci({ pids: 5 } as object)),
      refusal(() => resourcesFromOci({ blockIO: { weight: 2000 } })),
      refusal(() => resourcesFromOci(null as never)),
    ]).toMatchInlineSnapshot(`
      [
        "expected "resources.memory.swap" to be at least memory.limit, 2097152: it is memory and swap together, received 1048576 (number)",
        "expected "resources.memory.limit" to be a whole number from -1 to 9007199254740991, received -2 (number)",
        "expected "resources.cpus" to be one of devices, memory, cpu, blockIO, pids, hugepageLimits, network, rdma, unified, received "cpus" (string)",
        "expected "resources.pids" to be a limit on processes, received 5 (number)",
        "expected "resources.blockIO.weight" to be a whole number from 0 to 1000, received 2000 (number)",
        "expected "resources" to be the resources of an OCI configuration (linux.resources), received null",
      ]
    `);
  });
});

describe('Docker’s words', () => {
  it('become ours', () => {
    expect(
      resourcesFromDocker({
        Memory: '512m',
        MemorySwap: '1g',
        MemoryReservation: 0,
        MemorySwappiness: -1,
        OomKillDisable: false,
        NanoCpus: 5e8,
        CpuShares: 512,
        CpusetCpus: '0-1',
        BlkioWeight: 300,
        BlkioDeviceWriteBps: [{ Path: '/dev/sda', Rate: 1000 }],
        BlkioDeviceReadBps: null,
        PidsLimit: 100,
      }),
    ).toEqual({
      memory: 512 * MB,
      memorySwap: 512 * MB,
      cpus: 0.5,
      cpuShares: 512,
      cpusetCpus: '0-1',
      blkioWeight: 300,
      io: [{ device: '/dev/sda', writeBps: 1000 }],
      pids: 100,
    });
  });

  it('as much swap as memory unless it is said otherwise', () => {
    const swap = (d: DockerResources): unknown => resourcesFromDocker(d).memorySwap;
    expect([swap({ Memory: MB }), swap({ Memory: MB, MemorySwap: -1 }), swap({ Memory: MB, MemorySwap: MB }), swap({})]).toEqual([
      MB,
      null,
      0,
      undefined,
    ]);
  });

  it('device rules come on top of the default', () => {
    const { devices } = resourcesFromDocker({ DeviceCgroupRules: ['c 10:229 rw'] });
    expect(devices).toHaveLength(12);
    expect((devices as unknown[]).at(-1)).toEqual({ allow: true, type: 'c', major: 10, minor: 229, access: 'rw' });
  });

  it('sizes are in units of 1024', () => {
    const size = (Memory: string): unknown => resourcesFromDocker({ Memory }).memory;
    expect(['8192', '8192b', '8k', '8KB', '8KiB', '1.5m', '1g'].map(size)).toEqual([8192, 8192, 8192, 8192, 8192, 1.5 * MB, 1024 * MB]);
  });

  it('are refused where they are wrong', () => {
    expect([
      refusal(() => resourcesFromDocker({ Memory: '5 apples' })),
      refusal(() => resourcesFromDocker({ Memory: 2 * MB, MemorySwap: MB })),
      refusal(() => resourcesFromDocker({ MemorySwap: MB })),
      refusal(() => resourcesFromDocker({ NanoCpus: 1e9, CpuQuota: 5 })),
      refusal(() => resourcesFromDocker({ DeviceCgroupRules: ['c 1:3 rwm\nc *:* rwm'] })),
      refusal(() => resourcesFromDocker({ Memroy: 1 } as object)),
    ]).toMatchInlineSnapshot(`
      [
        "expected "resources.Memory" to be a size such as 536870912 or "512m", received "5 apples" (string)",
        "expected "resources.MemorySwap" to be at least Memory: it is memory and swap together, received 1048576 (number)",
        "expected "resources.MemorySwap" to be given together with Memory, received 1048576 (number)",
        "expected "resources.NanoCpus" to be left out beside CpuQuota and CpuPeriod: both say the same, received 1000000000 (number)",
        "expected "resources.DeviceCgroupRules[0]" to be a rule such as "c 1:3 rwm" or "b *:* m", received "c 1:3 rwm\\nc *:* rwm" (string)",
        "expected "resources.Memroy" to be one of Memory, MemorySwap, MemoryReservation, MemorySwappiness, OomKillDisable, NanoCpus, CpuShares, CpuPeriod, CpuQuota, CpuRealtimePeriod, CpuRealtimeRuntime, CpusetCpus, CpusetMems, BlkioWeight, BlkioWeightDevice, BlkioDeviceReadBps, BlkioDeviceWriteBps, BlkioDeviceReadIOps, BlkioDeviceWriteIOps, PidsLimit, DeviceCgroupRules, received "Memroy" (string)",
      ]
    `);
  });
});
