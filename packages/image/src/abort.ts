// AbortSignal in our words: an AbortError that says what was being done.
import { AbortError } from '@ctr/internal/errors';

export function throwIfAborted(signal: AbortSignal, what: string): void {
  if (signal.aborted) throw new AbortError(what, signal.reason);
}

/** The error to report: an AbortError when the signal fired, whatever broke because of it. */
export function abortOr(error: unknown, signal: AbortSignal, what: string): unknown {
  return signal.aborted && !(error instanceof AbortError) ? new AbortError(what, signal.reason) : error;
}
