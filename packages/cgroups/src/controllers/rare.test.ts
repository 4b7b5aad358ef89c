// Controllers and options that few machines have: what is written and what is read, on v1 and v2.
import { describe, expect, it } from 'vitest';
import { parsePressure, pressureStats } from '../pressure-stats.js';
import type { Resources } from '../resources.js';
import { sourcesOf } from '../stats.js';
import type { Controller, Place } from './controller.js';
import { cpu, cpuset, hugetlb, io, memory, misc, rdma } from './index.js';
import { netCls, netPrio } from './network.js';

/** 'file=value', '(file=value)' for what an update alone writes, or the first line of the refusal. */
const shown = (c: Controller<unknown>, r: Resources, version: 1 | 2, without: string[] = []): string[] => {
  const place: Place = { version, has: (f) => !without.includes(f) };
  return c.render(r, place).map((x) => {
    if (!('file' in x)) return x.message.split('\n')[0] ?? '';
    return x.lifts === true ? `(${x.file}=${x.value})` : `${x.file}=${x.value}`;
  });
};

const both = (c: Controller<unknown>, r: Resources) => ({ v1: shown(c, r, 1), v2: shown(c, r, 2) });

const sources = (version: 1 | 2, controller: string, files: Record<string, string>) =>
  sourcesOf({ [controller]: '/c', ...(version === 2 ? { unified: '/c' } : {}) }, (f) => files[f.slice(3)] ?? null);

describe('written', () => {
  it('cpu: burst, idle, clamps and real time', () => {
    expect(both(cpu, { cpus: 0.5, cpuPeriodUs: 50_000, cpuBurstUs: 5000, cpuIdle: true, cpuUclampMin: 12.5, cpuUclampMax: 100 })).toEqual({
      v1: [
        'cpu.cfs_period_us=50000',
        'cpu.cfs_quota_us=25000',
        'cpu.cfs_burst_us=5000',
        'cpu.idle=1',
        'cpu.uclamp.min=12.50',
        'cpu.uclamp.max=100.00',
      ],
      v2: ['cpu.max=25000 50000', 'cpu.max.burst=5000', 'cpu.idle=1', 'cpu.uclamp.min=12.50', 'cpu.uclamp.max=100.00'],
    });
    expect(both(cpu, { cpuRealtimeRuntimeUs: 950, cpuRealtimePeriodUs: 1000 })).toEqual({
      v1: ['cpu.rt_period_us=1000', 'cpu.rt_runtime_us=950'],
      v2: Array(2).fill(
        'time for real-time processes is not available here: it needs the cpu controller of cgroup v1, found the cpu controller of cgroup v2',
      ),
    });
    expect(shown(cpu, { cpuUclampMin: 5 }, 2, ['cpu.uclamp.min'])[0]).toContain('a kernel whose cgroups have cpu.uclamp.min');
  });

  it('null lifts, where there is something to lift', () => {
    expect(both(cpu, { cpus: null, cpuWeight: null, cpuBurstUs: null })).toEqual({
      v1: ['(cpu.cfs_quota_us=-1)', '(cpu.shares=1024)', '(cpu.cfs_burst_us=0)'],
      v2: ['(cpu.max=max 100000)', '(cpu.weight=100)', '(cpu.max.burst=0)'],
    });
    expect(both(memory, { memory: null, memoryHigh: null, memoryMin: null, memoryReservation: null })).toEqual({
      v1: ['(memory.limit_in_bytes=-1)', '(memory.memsw.limit_in_bytes=-1)', '(memory.soft_limit_in_bytes=-1)'],
      v2: ['(memory.max=max)', '(memory.low=0)', '(memory.high=max)', '(memory.min=0)'],
    });
    // No limit of swap is a word of its own beside a limit of memory.
    expect(both(memory, { memory: 8192, memorySwap: null })).toEqual({
      v1: ['memory.limit_in_bytes=8192', '(memory.memsw.limit_in_bytes=-1)'],
      v2: ['memory.max=8192', '(memory.swap.max=max)'],
    });
    expect(shown(cpu, { cpuBurstUs: null }, 2, ['cpu.max.burst'])).toEqual([]);
  });

  it('cpuset partitions and memory options of one version', () => {
    expect(both(cpuset, { cpusetCpus: '0', cpusetPartition: 'isolated' })).toEqual({
      v1: [
        'cpuset.cpus=0',
        'CPUs of its own (cpusetPartition) is not available here: it needs the cpuset controller of cgroup v2, found the cpuset controller of cgroup v1',
      ],
      v2: ['cpuset.cpus=0', 'cpuset.cpus.partition=isolated'],
    });
    expect(both(memory, { memorySwappiness: 10, oomKillDisable: true })).toEqual({
      v1: ['memory.swappiness=10', 'memory.oom_control=1'],
      v2: [
        'a choice of swappiness is not available here: it needs the memory controller of cgroup v1, found the memory controller of cgroup v2',
        'living without the OOM killer is not available here: it needs the memory controller of cgroup v1, found the memory controller of cgroup v2',
      ],
    });
  });

  it('io: rates, latency and weights of devices', () => {
    // 7:0 is /dev/loop0 by its number: nothing is looked up.
    const limits: Resources = { io: [{ device: '7:0', readBps: 1, writeBps: null, writeIops: 4, weight: 10_000 }] };
    expect(both(io, limits)).toEqual({
      v1: [
        'blkio.throttle.read_bps_device=7:0 1',
        'blkio.throttle.write_bps_device=7:0 0',
        'blkio.throttle.write_iops_device=7:0 4',
        'blkio.weight_device=7:0 1000',
      ],
      v2: ['io.max=7:0 rbps=1 wbps=max wiops=4', 'io.weight=7:0 10000'],
    });
    expect(shown(io, { io: [{ device: '7:0', latencyTargetUs: 500 }] }, 2)).toEqual(['io.latency=7:0 target=500']);
    expect(shown(io, { io: [{ device: '7:0', latencyTargetUs: 500 }] }, 1)[0]).toContain('cgroup v2');
  });

  it('io: a weight goes to the file that there is, in its own numbers', () => {
    expect(both(io, { ioWeight: 200 })).toEqual({ v1: ['blkio.weight=30'], v2: ['io.weight=200'] });
    expect(shown(io, { ioWeight: 200 }, 2, ['io.weight'])).toEqual(['io.bfq.weight=109']);
    expect(shown(io, { ioWeight: 200 }, 1, ['blkio.weight'])).toEqual(['blkio.bfq.weight=30']);
    expect(shown(io, { blkioWeight: 500 }, 2)).toEqual(['io.bfq.weight=500']);
    expect(shown(io, { blkioWeight: 500 }, 2, ['io.bfq.weight'])).toEqual(['io.weight=4950']);
    expect(shown(io, { ioWeight: 1 }, 2, ['io.weight', 'io.bfq.weight'])[0]).toContain('a kernel whose cgroups have io.weight');
  });

  it('hugetlb, rdma, misc and marks of packets', () => {
    expect(both(hugetlb, { hugetlb: { '2MB': 4096, '1GB': null } })).toEqual({
      v1: [
        'hugetlb.2MB.limit_in_bytes=4096',
        'hugetlb.2MB.rsvd.limit_in_bytes=4096',
        '(hugetlb.1GB.limit_in_bytes=-1)',
        '(hugetlb.1GB.rsvd.limit_in_bytes=-1)',
      ],
      v2: ['hugetlb.2MB.max=4096', 'hugetlb.2MB.rsvd.max=4096', '(hugetlb.1GB.max=max)', '(hugetlb.1GB.rsvd.max=max)'],
    });
    expect(shown(hugetlb, { hugetlb: { '2MB': 1 } }, 2, ['hugetlb.2MB.rsvd.max'])).toEqual(['hugetlb.2MB.max=1']);
    expect(shown(rdma, { rdma: { mlx4_0: { hcaHandles: 2, hcaObjects: null }, ocrdma1: {} } }, 2)).toEqual([
      'rdma.max=mlx4_0 hca_handle=2 hca_object=max',
    ]);
    expect(shown(misc, { misc: { sev: 1, sev_es: null } }, 2)).toEqual(['misc.max=sev 1', 'misc.max=sev_es max']);
    expect(both(netCls, { netClassId: 0x10_0001 }).v1).toEqual(['net_cls.classid=1048577']);
    expect(both(netPrio, { netPriorities: { eth0: 5, lo: 0 } }).v1).toEqual(['net_prio.ifpriomap=eth0 5', 'net_prio.ifpriomap=lo 0']);
    for (const [c, r] of [
      [netCls, { netClassId: 1 }],
      [netPrio, { netPriorities: { lo: 1 } }],
    ] as const)
      expect(shown(c, r, 2)[0]).toContain('cgroup v1');
  });
});

describe('read', () => {
  it('hugetlb, rdma and misc', () => {
    const v2 = {
      'hugetlb.2MB.current': '4194304\n',
      'hugetlb.2MB.rsvd.current': '6291456\n',
      'hugetlb.2MB.max': 'max\n',
      'hugetlb.2MB.events': 'max 3\n',
    };
    const v1 = {
      'hugetlb.2MB.usage_in_bytes': '4194304\n',
      'hugetlb.2MB.rsvd.usage_in_bytes': '6291456\n',
      'hugetlb.2MB.limit_in_bytes': '9223372036852678656\n',
      'hugetlb.2MB.failcnt': '3\n',
    };
    const expected = { '2MB': { usageBytes: 4_194_304, reservedBytes: 6_291_456, limitBytes: null, limitHits: 3 } };
    expect(hugetlb.stats(sources(2, 'hugetlb', v2))).toEqual(expected);
    expect(hugetlb.stats(sources(1, 'hugetlb', v1))).toEqual(expected);
    expect(hugetlb.limits?.(sources(2, 'hugetlb', { ...v2, 'hugetlb.2MB.max': '2097152\n' }))).toEqual({ hugetlb: { '2MB': 2_097_152 } });
    const files = { 'rdma.current': 'mlx4_0 hca_handle=2 hca_object=2000\n', 'rdma.max': 'mlx4_0 hca_handle=3 hca_object=max\n' };
    expect(rdma.stats(sources(2, 'rdma', files))).toEqual({ mlx4_0: { hcaHandles: 2, hcaObjects: 2000 } });
    expect(rdma.limits?.(sources(2, 'rdma', files))).toEqual({ rdma: { mlx4_0: { hcaHandles: 3 } } });
    const scalar = { 'misc.current': 'sev 3\nsev_es 0\n', 'misc.max': 'sev 5\nsev_es max\n' };
    expect(misc.stats(sources(2, 'misc', scalar))).toEqual({ sev: 3, sev_es: 0 });
    expect(misc.limits?.(sources(2, 'misc', scalar))).toEqual({ misc: { sev: 5 } });
  });

  it('limits of block devices, as they were set', () => {
    const v2 = {
      'io.max': '8:0 rbps=1000 wbps=max riops=max wiops=7\n',
      'io.latency': '8:0 target=500\n',
      'io.weight': 'default 200\n8:16 50\n',
    };
    const devices = [
      { device: '8:0', readBps: 1000, writeIops: 7, latencyTargetUs: 500 },
      { device: '8:16', weight: 50 },
    ];
    expect(io.limits?.(sources(2, 'io', v2))).toEqual({ ioWeight: 200, io: devices });
    const v1 = {
      'blkio.throttle.read_bps_device': '8:0 1000\n',
      'blkio.throttle.write_iops_device': '8:0 7\n',
      'blkio.bfq.weight': '300\n',
    };
    expect(io.limits?.(sources(1, 'blkio', v1))).toEqual({ blkioWeight: 300, io: [{ device: '8:0', readBps: 1000, writeIops: 7 }] });
  });

  it('pressure, with and without the line that a resource lacks', () => {
    const text = 'some avg10=1.50 avg60=0.25 avg300=0.00 total=2500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n';
    const some = { avg10Percent: 1.5, avg60Percent: 0.25, avg300Percent: 0, totalMs: 2.5 };
    const full = { avg10Percent: 0, avg60Percent: 0, avg300Percent: 0, totalMs: 0 };
    expect(parsePressure(text)).toEqual({ some, full });
    expect(parsePressure('full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n')).toEqual({ some: null, full });
    expect(parsePressure(null)).toBeNull();
    expect(pressureStats(null)).toBeNull();
    expect(pressureStats({ version: 2, read: () => null })).toBeNull();
    expect(pressureStats({ version: 2, read: (f) => (f === 'cpu.pressure' ? text : null) })).toMatchObject({ cpu: { some }, irq: null });
  });
});
