// A step as strace would print it.
import { named, slot } from '@ctr/internal/steps';
import { describe, expect, it } from 'vitest';
import { describePlan, describeStep } from './describe-plan.js';
import { holdPlan } from './plan.js';

describe('describeStep', () => {
  it.each([
    [{ call: 'setsid', args: [] }, 'setsid()'],
    [{ call: 'chdir', args: ['/a "b"\n'] }, String.raw`chdir("/a \"b\"\n")`],
    [{ call: 'openat', args: [-100, 'x', named(0x80000, 'O_CLOEXEC'), null], into: 'a.b' }, 'a.b = openat(AT_FDCWD, "x", O_CLOEXEC, NULL)'],
    [{ call: 'write', args: [slot('f'), { bytes: Buffer.from('5'), text: '"5"' }, 1] }, 'write(f, "5", 1)'],
    [{ call: 'write', args: [slot('f'), { bytes: Buffer.alloc(7) }, 7n] }, 'write(f, {7 bytes}, 0x7)'],
    [{ call: 'execve', args: ['/x', { strings: ['x', 'a b'] }, { strings: [] }] }, 'execve("/x", ["x", "a b"], [])'],
    [
      { call: 'execve', args: ['/x', { strings: ['x'] }, { strings: ['SECRET=1'], text: '[1 variables]' }] },
      'execve("/x", ["x"], [1 variables])',
    ],
  ])('%o', (step, text) => expect(describeStep(step)).toBe(text));

  it('cuts what is very long', () => {
    expect(describeStep({ call: 'chdir', args: ['x'.repeat(100_000)] })).toBe(`chdir("${'x'.repeat(120)}…")`);
  });
});

describe('describePlan', () => {
  it('says which errnos are no failure and what is left out then', () => {
    const plan = holdPlan(
      'hold it',
      [
        { call: 'mkdirat', args: [-100, '/x', 0o700], allow: ['EEXIST', 'EROFS'], skipOnAllowed: 2 },
        { call: 'fchdir', args: [slot('x')], skipOnSuccess: 1 },
      ],
      [],
    );
    expect(describePlan(plan)).toMatchInlineSnapshot(`
      "hold it
      prepare (monitor, on the host)
        mkdirat(AT_FDCWD, "/x", 448)  # EEXIST, EROFS is no failure, skips 2
        fchdir(x)  # success skips 1"
    `);
  });
});
