// Hints that are added later read like those that were there from the beginning.
import { SyscallError } from '@ctr/internal/errors';
import { describe, expect, it } from 'vitest';
import { addHint } from './add-hint.js';

const facts = { errno: 2, syscall: 'open', path: '/x', doing: 'look' };

describe('addHint', () => {
  it.each([undefined, 'an older one'])('sets it in the place of %s', (hint) => {
    const error = addHint(new SyscallError(facts, { hint, detail: 'open("/x")' }), 'a better $& one');
    expect(error).toBeInstanceOf(SyscallError);
    expect(error.hint).toBe('a better $& one');
    expect(error.message).toBe('look: open "/x": ENOENT (no such file or directory)\n  open("/x")\n  hint: a better $& one');
    expect(error.stack).toContain(error.message);
  });
});
