import { describe, expect, it } from 'vitest';
import type { Resources } from '../resources.js';
import { sourcesOf } from '../stats.js';
import type { Place, Rendered } from './controller.js';
import { parseFlat, parseLimit, parseNumber } from './controller.js';
import { cpu, cpuset, io, memory, pids } from './index.js';

const place = (version: 1 | 2, without: string[] = []): Place => ({ version, has: (f) => !without.includes(f) });

/** 'file=value', or the first line of the refusal. */
const shown = (all: Rendered[]): string[] => all.map((x) => ('file' in x ? `${x.file}=${x.value}` : (x.message.split('\n')[0] ?? '')));
const both = (render: (r: Resources, p: Place) => Rendered[], r: Resources) => ({
  v1: shown(render(r, place(1))),
  v2: shown(render(r, place(2))),
});

const sources = (version: 1 | 2, files: Record<string, string>) => {
  const directories: Record<string, string> = version === 1 ? {} : { unified: '/c' };
  for (const c of ['cpu', 'cpuacct', 'memory', 'pids', 'cpuset', version === 1 ? 'blkio' : 'io']) directories[c] = '/c';
  return sourcesOf(directories, (f) => files[f.slice(3)] ?? null);
};

describe('limits become files', () => {
  it('cpu', () => {
    expect(both(cpu.render, { cpus: 0.5, cpuWeight: 200 })).toEqual({
      v1: ['cpu.cfs_quota_us=50000', 'cpu.shares=2048'],
      v2: ['cpu.max=50000 100000', 'cpu.weight=200'],
    });
    expect(shown(cpu.render({ cpus: 1 }, place(1, ['cpu.cfs_quota_us'])))).toEqual([
      'a CPU limit is not available here: it needs a kernel whose cgroups have cpu.cfs_quota_us, found one without',
    ]);
  });

  it('memory: v1 writes the sum of memory and swap after memory', () => {
    expect(both(memory.render, { memory: 1 << 20 })).toEqual({
      v1: ['memory.limit_in_bytes=1048576', 'memory.memsw.limit_in_bytes=1048576'],
      v2: ['memory.max=1048576', 'memory.swap.max=0'],
    });
    expect(both(memory.render, { memory: 1 << 20, memorySwap: 4096, memoryReservation: 8192 })).toEqual({
      v1: ['memory.limit_in_bytes=1048576', 'memory.memsw.limit_in_bytes=1052672', 'memory.soft_limit_in_bytes=8192'],
      v2: ['memory.max=1048576', 'memory.swap.max=4096', 'memory.low=8192'],
    });
  });

  it('memory: leaves swap out where the kernel does not account it, unless it was asked for', () => {
    const none = place(1, ['memory.memsw.limit_in_bytes']);
    expect(shown(memory.render({ memory: 4096 }, none))).toEqual(['memory.limit_in_bytes=4096']);
    expect(shown(memory.render({ memory: 4096, memorySwap: 0 }, none))).toMatchInlineSnapshot(`
      [
        "memory.limit_in_bytes=4096",
        "a swap limit is not available here: it needs a kernel whose cgroups have memory.memsw.limit_in_bytes, found one without",
      ]
    `);
    expect(shown(memory.render({ memory: 4096, memorySwap: 0 }, place(2, ['memory.swap.max'])))).toMatchInlineSnapshot(`
      [
        "memory.max=4096",
        "a swap limit is not available here: it needs a kernel whose cgroups have memory.swap.max, found one without",
      ]
    `);
  });

  it('memory: what only v2 has is refused on v1', () => {
    expect(both(memory.render, { memoryHigh: 8192, oomGroup: true, memorySwap: 0 })).toMatchInlineSnapshot(`
      {
        "v1": [
          "a swap limit without a memory limit is not available here: it needs the memory controller of cgroup v2, found the memory controller of cgroup v1",
          "slowing down from a memory usage on (memoryHigh) is not available here: it needs the memory controller of cgroup v2, found the memory controller of cgroup v1",
          "killing all processes together when memory runs out (oomGroup) is not available here: it needs the memory controller of cgroup v2, found the memory controller of cgroup v1",
        ],
        "v2": [
          "memory.swap.max=0",
          "memory.high=8192",
          "memory.oom.group=1",
        ],
      }
    `);
    expect(shown(memory.render({ oomGroup: false }, place(1)))).toEqual([]);
  });

  it('pids and cpuset', () => {
    expect(both(pids.render, { pids: 7 })).toEqual({ v1: ['pids.max=7'], v2: ['pids.max=7'] });
    expect(shown(cpuset.render({ cpusetCpus: '0-1', cpusetMems: '0' }, place(1)))).toEqual(['cpuset.cpus=0-1', 'cpuset.mems=0']);
  });
});

describe('files become numbers', () => {
  it('cpu on v1, from two controllers', () => {
    const files = {
      'cpuacct.usage': '2500000000\n',
      'cpuacct.usage_user': '2000000000\n',
      'cpuacct.usage_sys': '500000000\n',
      'cpu.stat': 'nr_periods 10\nnr_throttled 4\nthrottled_time 3000000\n',
      'cpu.cfs_quota_us': '50000\n',
      'cpu.cfs_period_us': '100000\n',
    };
    expect(cpu.stats(sources(1, files))).toEqual({
      usageMs: 2500,
      userMs: 2000,
      systemMs: 500,
      periods: 10,
      throttledPeriods: 4,
      throttledMs: 3,
      bursts: 0,
      burstMs: 0,
      limitCpus: 0.5,
    });
    expect(cpu.stats(sources(1, { ...files, 'cpu.cfs_quota_us': '-1\n' }))?.limitCpus).toBeNull();
  });

  it('cpu on v2, also without the controller', () => {
    const base = 'usage_usec 2500\nuser_usec 2000\nsystem_usec 500\n';
    expect(
      cpu.stats(sources(2, { 'cpu.stat': `${base}nr_periods 10\nnr_throttled 4\nthrottled_usec 3000\n`, 'cpu.max': '150000 100000\n' })),
    ).toEqual({
      usageMs: 2.5,
      userMs: 2,
      systemMs: 0.5,
      periods: 10,
      throttledPeriods: 4,
      throttledMs: 3,
      bursts: 0,
      burstMs: 0,
      limitCpus: 1.5,
    });
    expect(cpu.stats(sources(2, { 'cpu.stat': base }))).toMatchObject({ periods: 0, limitCpus: null });
    expect(cpu.stats(sources(2, { 'cpu.stat': base, 'cpu.max': 'max 100000\n' }))?.limitCpus).toBeNull();
  });

  it('memory on v1 and v2 alike', () => {
    const v1 = {
      'memory.usage_in_bytes': '1000\n',
      'memory.max_usage_in_bytes': '2000\n',
      'memory.limit_in_bytes': '9223372036854771712\n',
      'memory.stat': 'cache 1\ntotal_cache 300\ntotal_rss 600\ntotal_swap 7\ntotal_pgmajfault 2\ntotal_inactive_file 100\n',
      'memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n',
      'memory.failcnt': '2\n',
      'memory.memsw.failcnt': '7\n',
    };
    const v2 = {
      'memory.current': '1000\n',
      'memory.peak': '2000\n',
      'memory.max': 'max\n',
      'memory.swap.current': '7\n',
      'memory.stat': 'anon 600\nfile 300\ninactive_file 100\npgmajfault 2\n',
      'memory.events': 'low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\noom_group_kill 0\n',
    };
    const expected = {
      usageBytes: 1000,
      peakBytes: 2000,
      limitBytes: null,
      sharedBytes: 0,
      dirtyBytes: 0,
      faults: 0,
      swapBytes: 7,
      workingSetBytes: 900,
      anonBytes: 600,
      fileBytes: 300,
      majorFaults: 2,
      oomKills: 3,
      limitHits: 9,
    };
    const untold = { kernelBytes: null, slabBytes: null, socketBytes: null, highHits: null, ooms: null };
    expect(memory.stats(sources(1, v1))).toEqual({ ...expected, ...untold });
    expect(memory.stats(sources(2, v2))).toEqual({ ...expected, kernelBytes: 0, slabBytes: 0, socketBytes: 0, highHits: 0, ooms: 3 });
    expect(memory.stats(sources(2, { ...v2, 'memory.max': '4096\n' }))?.limitBytes).toBe(4096);
  });

  it('pids', () => {
    const files = { 'pids.current': '3\n', 'pids.max': '10\n', 'pids.events': 'max 2\n', 'pids.peak': '8\n' };
    expect(pids.stats(sources(1, files))).toEqual({ current: 3, peak: 8, limit: 10, limitHits: 2 });
    expect(pids.stats(sources(2, { 'pids.current': '3\n', 'pids.max': 'max\n' }))).toEqual({
      current: 3,
      peak: null,
      limit: null,
      limitHits: 0,
    });
  });

  it('io, summed over devices', () => {
    const v1 = {
      'blkio.throttle.io_service_bytes_recursive': '8:0 Read 4096\n8:0 Write 512\n8:0 Total 4608\n8:16 Read 1\nTotal 4609\n',
      'blkio.throttle.io_serviced_recursive': '8:0 Read 2\n8:0 Write 1\nTotal 3\n',
    };
    const traffic = (readBytes: number, writeBytes: number, readOperations: number, writeOperations: number, discards = [0, 0]) => {
      const [discardBytes, discardOperations] = discards;
      return { readBytes, writeBytes, readOperations, writeOperations, discardBytes, discardOperations };
    };
    expect(io.stats(sources(1, v1))).toEqual({
      ...traffic(4097, 512, 2, 1),
      devices: { '8:0': traffic(4096, 512, 2, 1), '8:16': traffic(1, 0, 0, 0) },
    });
    expect(io.stats(sources(2, { 'io.stat': '8:0 rbytes=4096 wbytes=512 rios=1 wios=1 dbytes=9 dios=9\n8:16 rbytes=1 rios=1\n' }))).toEqual(
      {
        ...traffic(4097, 512, 2, 1, [9, 9]),
        devices: { '8:0': traffic(4096, 512, 1, 1, [9, 9]), '8:16': traffic(1, 0, 1, 0) },
      },
    );
    expect(io.stats(sources(2, { 'io.stat': '' }))).toMatchObject({ readBytes: 0 });
  });

  it('cpuset', () => {
    expect(cpuset.stats(sources(1, { 'cpuset.effective_cpus': '0-1\n', 'cpuset.effective_mems': '0\n' }))).toEqual({
      cpus: '0-1',
      mems: '0',
    });
    expect(cpuset.stats(sources(2, { 'cpuset.cpus.effective': '0\n', 'cpuset.mems.effective': '0\n' }))).toEqual({ cpus: '0', mems: '0' });
  });

  it('a controller that is not there is null', () => {
    for (const c of [cpu, memory, pids, io, cpuset]) {
      expect(
        c.stats(() => null),
        c.name,
      ).toBeNull();
      expect(c.stats(sources(1, {})), c.name).toBeNull();
      expect(c.stats(sources(2, {})), c.name).toBeNull();
    }
  });

  it('reads numbers, limits and flat lists, and nothing into anything else', () => {
    expect([parseNumber('12\n'), parseNumber(''), parseNumber('max'), parseNumber(null)]).toEqual([12, null, null, null]);
    expect([parseLimit('-1\n'), parseLimit('max\n'), parseLimit('9223372036854771712\n'), parseLimit('0\n')]).toEqual([
      null,
      null,
      null,
      0,
    ]);
    expect(parseFlat('a 1\n\nb\nc 2')).toEqual({ a: 1, c: 2 });
  });
});
