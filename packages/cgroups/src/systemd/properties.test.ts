// Limits as systemd's properties, by the names and units that runc uses.
import { describe, expect, it } from 'vitest';
import type { Resources } from '../resources.js';
import { propertiesOf } from './properties.js';

const shown = (r: Resources, version: 1 | 2): string[] => propertiesOf(r, version).map(([name, type, value]) => `${name} ${type} ${value}`);

describe('limits as properties', () => {
  it('on v2', () => {
    expect(
      shown(
        { cpus: 0.5, cpuPeriodUs: 50_000, cpuShares: 1024, memory: 8192, memoryHigh: 4096, memoryReservation: 1, pids: 7, ioWeight: 50 },
        2,
      ),
    ).toEqual([
      'CPUQuotaPeriodUSec t 50000',
      'CPUQuotaPerSecUSec t 500000',
      'CPUWeight t 100',
      'MemoryMax t 8192',
      'MemorySwapMax t 0',
      'MemoryHigh t 4096',
      'MemoryLow t 1',
      'TasksMax t 7',
      'IOWeight t 50',
    ]);
  });

  it('on v1', () => {
    expect(shown({ cpus: 1, cpuWeight: 200, memory: 8192, pids: 7, ioWeight: 50 }, 1)).toEqual([
      'CPUQuotaPerSecUSec t 1000000',
      'CPUShares t 2048',
      'MemoryLimit t 8192',
      'TasksMax t 7',
    ]);
  });

  it('lifted, and rounded up to what systemd keeps', () => {
    expect(shown({ cpus: null, memory: null, memorySwap: null, pids: null }, 2)).toEqual([
      'CPUQuotaPerSecUSec t 18446744073709551615',
      'MemoryMax t 18446744073709551615',
      'MemorySwapMax t 18446744073709551615',
      'TasksMax t 18446744073709551615',
    ]);
    expect(shown({ cpus: 0.0123 }, 2)).toEqual(['CPUQuotaPerSecUSec t 20000']);
    expect(shown({}, 2)).toEqual([]);
  });
});
