// The spelling advice: near names are found, far ones are not.
import { describe, expect, it } from 'vitest';
import { closestName, didYouMean } from './did-you-mean.js';

const names = ['hostname', 'memory', 'cpus', 'mounts', 'readOnly'];

describe('closestName', () => {
  it.each([
    ['hostnmae', 'hostname'],
    ['readonly', 'readOnly'],
    ['memroy', 'memory'],
    ['cpu', 'cpus'],
    ['mount', 'mounts'],
  ])('%s is meant to be %s', (wrong, right) => expect(closestName(wrong, names)).toBe(right));

  it.each(['zzz', '', 'x'.repeat(10_000), 'network'])('nothing is near to %.10s', (wrong) =>
    expect(closestName(wrong, names)).toBeUndefined(),
  );

  it('reads as the end of a sentence', () => expect(didYouMean('memroy', names)).toBe(' (did you mean "memory"?)'));
});
