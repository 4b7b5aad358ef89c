// The formulas as their authors publish them.
import { describe, expect, it } from 'vitest';
import { bfqFromIoWeight, blkioFromIoWeight, ioWeightFromBlkio, sharesFromWeight, swapFromSum, weightFromShares } from './conversions.js';

describe('cpu', () => {
  it('shares to weight goes through both ends and both defaults, and through runc’s own examples', () => {
    // opencontainers/cgroups, TestConvertCPUSharesToCgroupV2Value's points; crun's manual has the same table.
    const table: [number, number][] = [
      [0, 1],
      [2, 1],
      [1024, 100],
      [262_144, 10_000],
      [300_000, 10_000],
    ];
    for (const [shares, weight] of table) expect(weightFromShares(shares), `${shares}`).toBe(weight);
    // The published formula: 10^((log2(shares)^2 + 125 log2(shares)) / 612 - 7/34), rounded up.
    for (const shares of [3, 10, 512, 1000, 1536, 2048, 20_000, 100_000])
      expect(weightFromShares(shares)).toBe(Math.ceil(10 ** ((Math.log2(shares) ** 2 + 125 * Math.log2(shares)) / 612 - 7 / 34)));
  });

  it('never falls as shares rise, and stays within the kernel’s bounds', () => {
    let last = 0;
    for (let shares = 2; shares <= 262_144; shares += 97) {
      const weight = weightFromShares(shares);
      expect(weight).toBeGreaterThanOrEqual(Math.max(1, last));
      expect(weight).toBeLessThanOrEqual(10_000);
      last = weight;
    }
  });

  it('weight to shares keeps the proportion and the default, as the scheduler reckons: v2 100 is v1 1024', () => {
    expect([1, 50, 100, 200, 10_000].map(sharesFromWeight)).toEqual([10, 512, 1024, 2048, 102_400]);
  });
});

describe('io', () => {
  it('blkio to io is runc’s straight line, rounded down', () => {
    expect([10, 11, 100, 500, 1000].map(ioWeightFromBlkio)).toEqual([1, 11, 910, 4950, 10_000]);
  });

  it('and back again', () => {
    for (const weight of [10, 11, 100, 500, 1000]) expect(blkioFromIoWeight(ioWeightFromBlkio(weight))).toBe(weight);
    expect([1, 10_000].map(blkioFromIoWeight)).toEqual([10, 1000]);
  });

  it('BFQ has the same default and ends at 1000, as systemd has it', () => {
    expect([1, 50, 100, 200, 10_000].map(bfqFromIoWeight)).toEqual([1, 50, 100, 109, 1000]);
  });
});

describe('swap', () => {
  it('is OCI’s sum without the memory', () => {
    expect(swapFromSum(3 << 20, 1 << 20)).toBe(2 << 20);
    expect(swapFromSum(1 << 20, 1 << 20)).toBe(0);
    expect(swapFromSum(-1, 1 << 20)).toBeNull();
    expect(swapFromSum(undefined, 1 << 20)).toBeUndefined();
    expect(swapFromSum(0, 1 << 20)).toBeUndefined();
    // Memory without a limit and no word about swap: both are without.
    expect(swapFromSum(undefined, -1)).toBeNull();
    expect(swapFromSum(0, -1)).toBeNull();
    expect(swapFromSum(1 << 20, -1)).toBe(1 << 20);
  });
});
