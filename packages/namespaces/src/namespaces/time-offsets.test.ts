// Offsets of clocks as timens_offsets takes them, and the order of the steps.
import { describe, expect, it } from 'vitest';
import { describeStep } from '../plan/describe-plan.js';
import { enterTimeNamespace } from './time-offsets.js';

const written = (monotonic: number): string => {
  const text = enterTimeNamespace({ monotonic }, true)
    .map(describeStep)
    .find((s) => s.startsWith('write'));
  return /"monotonic (.*?)\\n"/.exec(text ?? '')?.[1] ?? '';
};

describe('enterTimeNamespace', () => {
  it.each([
    [0, '0 0'],
    [1.5, '1 500000000'],
    [-1.5, '-2 500000000'],
    [-0.25, '-1 750000000'],
    [0.999_999_999_9, '1 0'],
    [86_400, '86400 0'],
  ])('%s s', (seconds, text) => expect(written(seconds)).toBe(text));

  it('makes it, writes, and only then enters', () => {
    expect(enterTimeNamespace({ boottime: 1 }, false).map(describeStep)).toMatchInlineSnapshot(`
      [
        "unshare(CLONE_NEWTIME)",
        "prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)",
        "timens = openat(AT_FDCWD, "/proc/self/timens_offsets", O_WRONLY|O_CLOEXEC)",
        "write(timens, "boottime 1 0\\n", 13)",
        "prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)",
        "timens = openat(AT_FDCWD, "/proc/self/ns/time_for_children", O_RDONLY|O_CLOEXEC)",
        "setns(timens, CLONE_NEWTIME)",
        "close(timens)",
      ]
    `);
  });
});
