// Maps of ids: written, read, nested, refused.
import { describe, expect, it } from 'vitest';
import { formatIdMaps, identityMaps, nestIdMaps, overlappingMaps, parseIdMaps, stackRanges, toHostId } from './id-map.js';

const map = (containerId: number, hostId: number, size: number) => ({ containerId, hostId, size });

describe('id maps', () => {
  it('are written and read as the kernel has them', () => {
    const maps = [map(0, 1000, 1), map(1, 100_000, 65_536)];
    expect(formatIdMaps(maps)).toBe('0 1000 1\n1 100000 65536\n');
    expect(parseIdMaps('         0       1000          1\n         1     100000      65536\n')).toEqual(maps);
  });

  it('know the host’s id of each', () => {
    const maps = [map(0, 1000, 1), map(1, 100_000, 10)];
    expect([0, 1, 10, 11].map((id) => toHostId(maps, id))).toEqual([1000, 100_000, 100_009, undefined]);
  });

  it('overlap inside or outside', () => {
    expect(overlappingMaps([map(0, 10, 5), map(5, 15, 5)])).toBeUndefined();
    expect(overlappingMaps([map(0, 10, 6), map(5, 100, 5)])).toEqual([map(0, 10, 6), map(5, 100, 5)]);
    expect(overlappingMaps([map(100, 10, 6), map(0, 15, 5)])).toEqual([map(100, 10, 6), map(0, 15, 5)]);
  });

  it('nest: a line is cut where the one around it ends', () => {
    const around = [map(0, 1000, 1), map(1, 100_000, 10), map(11, 200_000, 10)];
    expect(nestIdMaps([map(0, 1000, 1), map(1, 100_005, 5)], around, 'uid')).toEqual([map(0, 0, 1), map(1, 6, 5)]);
    // 100009 and 100010 are neighbours outside, but only one of them is this user's.
    expect(() => nestIdMaps([map(0, 100_009, 2)], around, 'idMaps.uid')).toThrowErrorMatchingInlineSnapshot(`
      [InvalidArgumentError: expected "idMaps.uid" to be ids that this user may map: 1000, 100000 to 100009, 200000 to 200009, received 100010 (number)
        hint: an ordinary user may map its own id, and the ranges that /etc/subuid and /etc/subgid give it]
    `);
    const touching = [map(0, 5, 10), map(50, 15, 10)];
    expect(nestIdMaps([map(7, 10, 10)], touching, 'uid')).toEqual([map(7, 5, 5), map(12, 50, 5)]);
  });

  it('identity and stacks', () => {
    expect(identityMaps([map(5, 100, 2)])).toEqual([map(5, 5, 2)]);
    expect(
      stackRanges(
        [
          { start: 10, size: 2 },
          { start: 50, size: 3 },
        ],
        1,
      ),
    ).toEqual([map(1, 10, 2), map(3, 50, 3)]);
  });
});
