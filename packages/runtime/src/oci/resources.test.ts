// Limits to OCI and back: what was asked for arrives at @ctr/cgroups unchanged.
import { describe, expect, it } from 'vitest';
import type { ResourceOptions } from '../options/part-options.js';
import { readRunOptions } from '../options/read-options.js';
import { ROOT_HOST } from './fixtures.js';
import { fromOciResources, toOciResources } from './resources.js';

const there = (resources: ResourceOptions, host = ROOT_HOST) => toOciResources(readRunOptions({ image: 'a', resources }), host);

describe('limits', () => {
  it('go to OCI and back', () => {
    const limits = {
      cpus: 0.5,
      cpuWeight: 200,
      cpusetCpus: '0-1',
      cpusetMems: '0',
      memory: 104_857_600,
      memoryReservation: 52_428_800,
      memoryHigh: 94_371_840,
      memorySwap: 10_485_760,
      pids: 64,
      oomGroup: true,
      devices: 'default' as const,
      unified: { 'memory.min': '4096' },
    };
    expect(fromOciResources(there(limits))).toEqual(limits);
  });

  it('have defaults: 1024 processes, the harmless devices', () =>
    expect(fromOciResources(there({}))).toEqual({ pids: 1024, devices: 'default' }));

  it('leave out defaults that the host cannot hold', () =>
    expect(fromOciResources(there({}, { ...ROOT_HOST, controllers: {} }))).toEqual({ devices: 'all' }));

  it('of OCI that have no word of ours are those of @ctr/cgroups', () => {
    expect(
      fromOciResources({
        memory: { limit: 1 << 30, swap: -1, reservation: -1, swappiness: 5 },
        cpu: { shares: 512, quota: 2000, period: 4000, burst: 100, cpus: '0' },
        blockIO: { weight: 20, throttleWriteIOPSDevice: [{ major: 8, minor: 0, rate: 5 }] },
        hugepageLimits: [{ pageSize: '2MB', limit: 5 }],
        pids: { limit: -1 },
      }),
    ).toEqual({
      memory: 1 << 30,
      memorySwap: null,
      memorySwappiness: 5,
      cpus: 0.5,
      cpuPeriodUs: 4000,
      cpuBurstUs: 100,
      cpuShares: 512,
      cpusetCpus: '0',
      blkioWeight: 20,
      io: [{ device: '8:0', writeIops: 5 }],
      hugetlb: { '2MB': 5 },
      devices: 'all',
    });
    expect(fromOciResources({ cpu: { quota: -1 }, memory: { limit: -1 } })).toEqual({ devices: 'all' });
  });

  it('kill all of a container together where the kernel can', () =>
    expect(fromOciResources(there({ memory: '1g' }, { ...ROOT_HOST, controllers: { memory: 2 } })).oomGroup).toBe(true));

  it('can be unlimited', () => expect(fromOciResources(there({ pids: 'unlimited' })).pids).toBeUndefined());

  it('take a device list of one’s own, with what every container has behind it', () => {
    const { devices } = fromOciResources({ devices: [{ allow: false }, { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' }] });
    expect(devices?.slice(0, 2)).toEqual([{ allow: false }, { allow: true, type: 'c', major: 10, minor: 229, access: 'rw' }]);
    expect(devices).toContainEqual({ allow: true, type: 'c', major: 1, minor: 3, access: 'rwm' });
  });
});
