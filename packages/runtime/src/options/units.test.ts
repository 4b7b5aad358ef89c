// Sizes, durations and signals as people write them.
import { describe, expect, it } from 'vitest';
import { parseBytes, parseDuration, parseSignal } from './units.js';

describe('parseBytes', () => {
  it.each([
    [0, 0],
    [512, 512],
    ['512', 512],
    ['1k', 1024],
    ['512m', 536_870_912],
    ['512MB', 536_870_912],
    ['512MiB', 536_870_912],
    ['1.5 GiB', 1_610_612_736],
    ['2t', 2_199_023_255_552],
  ])('%s is %i bytes', (given, bytes) => expect(parseBytes(given)).toBe(bytes));

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '', 'lots', '-1m', '1mm', '9999999t', '0x10', 1n, null, {}])(
    '%s is no size',
    (given) => expect(parseBytes(given)).toBeUndefined(),
  );
});

describe('parseDuration', () => {
  it.each([
    [1500, 1500],
    ['500ms', 500],
    ['30s', 30_000],
    ['1.5s', 1500],
    ['1m30s', 90_000],
    ['2h', 7_200_000],
  ])('%s is %i ms', (given, ms) => expect(parseDuration(given)).toBe(ms));

  it.each([-1, Number.NaN, Number.POSITIVE_INFINITY, '', '30', '30 s', 's', '1d', '-1s', undefined])('%s is no duration', (given) =>
    expect(parseDuration(given)).toBeUndefined(),
  );
});

describe('parseSignal', () => {
  it.each([
    ['SIGTERM', 'SIGTERM'],
    ['term', 'SIGTERM'],
    [9, 'SIGKILL'],
    ['15', 'SIGTERM'],
    ['SIGRTMIN+3', 'SIGRTMIN+3'],
    [40, 'SIGRTMIN+6'],
  ])('%s is %s', (given, signal) => expect(parseSignal(given)).toBe(signal));

  it.each([0, 65, 1.5, -9, '', 'SIGNOPE', 'SIGRTMIN+31', 'constructor', null])('%s is no signal', (given) =>
    expect(parseSignal(given)).toBeUndefined(),
  );
});
