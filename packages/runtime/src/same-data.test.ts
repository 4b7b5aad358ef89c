import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { sameData } from './same-data.js';

const VALUES: unknown[] = [
  undefined,
  null,
  0,
  -0,
  Number.NaN,
  '',
  'a',
  true,
  [],
  ['a'],
  ['a', undefined],
  [['a'], 1],
  {},
  { a: 1 },
  { a: undefined },
  { a: { b: [1, 2] } },
  { b: undefined },
  new Map(),
  new Map([['a', 1]]),
  new Map([['a', { b: 1 }]]),
  new Map([['b', { b: 1 }]]),
  Object.assign(Object.create(null), { a: 1 }),
];

describe('sameData', () => {
  it('says of plain data what isDeepStrictEqual says, but for prototypes', () => {
    for (const a of VALUES)
      for (const b of VALUES.map((v) => (typeof v === 'object' ? structuredClone(v) : v)))
        expect([a, b, sameData(a, b)]).toEqual([a, b, isDeepStrictEqual(structuredClone(a), b)]);
  });

  it('takes other objects for the same only when they are', () => {
    const date = new Date(0);
    expect([sameData(date, date), sameData(date, new Date(0)), sameData(new Uint8Array(1), new Uint8Array(1))]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
