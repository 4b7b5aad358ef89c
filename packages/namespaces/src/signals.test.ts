// Signal names: all spellings, all numbers, and agreement with Node's own table on Linux.
import { constants } from 'node:os';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { SIGNALS, signalName, signalNumber } from './signals.js';

const linux = need('linux');
describe('signalNumber', () => {
  it.each([
    ['SIGTERM', 15],
    ['TERM', 15],
    ['term', 15],
    [15, 15],
    ['15', 15],
    ['SIGIOT', 6],
    ['POLL', 29],
    ['SIGRTMIN', 34],
    ['RTMIN+3', 37],
    ['sigrtmin+30', 64],
    ['SIGRTMAX', 64],
    ['SIGRTMAX-30', 34],
  ])('%j is %i', (value, number) => expect(signalNumber(value)).toBe(number));

  it.each([
    ['SIGTREM', 'did you mean "SIGTERM"?'],
    ['KIL', 'did you mean "SIGKILL"?'],
    ['', 'received "" (string)'],
    [0, 'received 0 (number)'],
    ['0', 'received "0"'],
    [65, 'received 65'],
    [1.5, 'received 1.5'],
    [-9, 'received -9'],
    [Number.NaN, 'received NaN'],
    ['SIGRTMIN+31', 'received "SIGRTMIN+31"'],
    ['SIGRTMAX-31', 'received "SIGRTMAX-31"'],
    ['SIGRTMIN-1', 'received "SIGRTMIN-1"'],
    ['SIGTERM\0', 'expected "stopSignal"'],
    [null, 'received null'],
    [{}, 'received an object'],
  ])('%j is refused', (value, message) => expect(() => signalNumber(value, 'stopSignal')).toThrow(message));
});

describe('signalName', () => {
  it('is the way back for every number', () => {
    for (let n = 1; n <= 64; n++) if (n !== 32 && n !== 33) expect(signalNumber(signalName(n))).toBe(n);
    expect([32, 33, 34, 50, 64].map(signalName)).toEqual(['SIG32', 'SIG33', 'SIGRTMIN', 'SIGRTMIN+16', 'SIGRTMAX']);
  });

  it.skipIf(!linux.ok)(linux.title("agrees with Node's table"), () => {
    for (const [name, number] of Object.entries(constants.signals)) expect([name, signalNumber(name)]).toEqual([name, number]);
    expect(SIGNALS.size).toBe(31);
  });
});
