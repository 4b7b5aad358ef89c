// Resource limits: names, values, the clamp for defaults, and this process's own limits.
import { readFileSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import {
  clampRlimit,
  DEFAULT_RLIMITS,
  encodeRlimit,
  parseProcLimits,
  parseRlimit,
  parseRlimitName,
  parseRlimits,
  RLIMITS,
} from './rlimits.js';

const linux = need('linux');
const inf = Number.POSITIVE_INFINITY;

describe('rlimits', () => {
  it.each(['nofile', 'NOFILE', 'RLIMIT_NOFILE', 'rlimit_nofile'])('%s is nofile', (name) => expect(parseRlimitName(name)).toBe('nofile'));

  it('the kernel has 16, each with its own number', () => expect(Object.values(RLIMITS)).toEqual([...Array(16).keys()]));

  it.each([
    ['noflie', 'did you mean "nofile"?'],
    ['toString', 'received "toString"'],
    ['__proto__', 'received "__proto__"'],
    [7, 'received 7'],
  ])('the name %j is refused', (name, message) => expect(() => parseRlimitName(name)).toThrow(message));

  it.each([
    [0, { soft: 0, hard: 0 }],
    [4096, { soft: 4096, hard: 4096 }],
    ['unlimited', { soft: inf, hard: inf }],
    [-1, { soft: inf, hard: inf }],
    [
      { soft: 1, hard: inf },
      { soft: 1, hard: inf },
    ],
    [
      { soft: 0, hard: 'unlimited' },
      { soft: 0, hard: inf },
    ],
  ])('%j is read', (value, limit) => expect(parseRlimit(value)).toEqual(limit));

  it.each([
    [{ soft: 2, hard: 1 }, 'expected "rlimits.nofile.soft" to be at most rlimits.nofile.hard (1), received 2'],
    [{ soft: 2 }, 'expected "rlimits.nofile.hard" to be a whole number'],
    [{ soft: 1, hard: 1, max: 1 }, 'expected "rlimits.nofile.max" to be absent'],
    [1.5, 'received 1.5'],
    [-2, 'received -2'],
    [2 ** 53, 'received 9007199254740992'],
    [Number.NaN, 'received NaN'],
    ['1024', 'received "1024"'],
    [null, 'received null'],
    [[], 'expected "rlimits.nofile.soft"'],
  ])('the value %j is refused', (value, message) => expect(() => parseRlimits({ nofile: value })).toThrow(message));

  it('takes a whole record, and no name twice', () => {
    expect(parseRlimits({ nofile: 1, RLIMIT_CORE: 0, cpu: undefined })).toEqual({
      nofile: { soft: 1, hard: 1 },
      core: { soft: 0, hard: 0 },
    });
    expect(() => parseRlimits({ nofile: 1, RLIMIT_NOFILE: 2 })).toThrow("without two spellings of 'nofile'");
    expect(() => parseRlimits([1])).toThrow('received an array of 1');
  });

  it('clamps a default to what the host permits', () => {
    expect(clampRlimit({ soft: 1024, hard: 524288 }, 4096)).toEqual({ soft: 1024, hard: 4096 });
    expect(clampRlimit({ soft: 1024, hard: 524288 }, 512)).toEqual({ soft: 512, hard: 512 });
    expect(clampRlimit({ soft: 1024, hard: inf }, inf)).toEqual({ soft: 1024, hard: inf });
    for (const limit of Object.values(DEFAULT_RLIMITS)) expect(clampRlimit(limit, inf)).toEqual(limit);
  });

  it('makes the bytes of prlimit64', () => {
    expect(Buffer.from(encodeRlimit({ soft: 1024, hard: inf })).toString('hex')).toBe('0004000000000000ffffffffffffffff');
  });

  it.skipIf(!linux.ok)(linux.title('reads the limits of this process'), () => {
    const limits = parseProcLimits(readFileSync('/proc/self/limits', 'utf8'));
    expect(Object.keys(limits).sort()).toEqual(Object.keys(RLIMITS).sort());
    for (const { soft, hard } of Object.values(limits)) expect(soft).toBeLessThanOrEqual(hard);
  });

  it('reads the columns of /proc/pid/limits', () => {
    const text =
      'Limit                     Soft Limit           Hard Limit           Units     \nMax open files            1024                 524288               files     \nMax cpu time              unlimited            unlimited            seconds   \n';
    expect(parseProcLimits(text)).toEqual({ nofile: { soft: 1024, hard: 524288 }, cpu: { soft: inf, hard: inf } });
  });
});
