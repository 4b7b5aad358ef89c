// Gives an error a hint that only its caller could know; class, code, cause and stack stay.
import type { CtrError } from '@ctr/internal/errors';

/** Sets `hint`, in the place of one that is there, also in the texts that people read. */
export function addHint<E extends CtrError>(error: E, hint: string): E {
  const before = error.message;
  const after = `${before.replace(/\n {2}hint: .*$/s, '')}\n  hint: ${hint}`;
  error.message = after;
  if (error.stack !== undefined) error.stack = error.stack.replace(before, () => after);
  return Object.assign(error, { hint });
}
