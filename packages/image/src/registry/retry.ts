// Trying again: what may pass by itself is tried again after a growing, capped pause that a signal can end.
import { setTimeout as sleep } from 'node:timers/promises';
import { AbortError, ImageError } from '@ctr/internal/errors';

/** How patiently a registry is asked again. */
export interface RetryOptions {
  /** Tries in all. Default 5. */
  attempts?: number;
  /** First pause in milliseconds; it doubles each time, with jitter. Default 500. */
  baseDelayMs?: number;
  /** Longest pause in milliseconds, also when Retry-After asks for more. Default 60000. */
  maxDelayMs?: number;
  /**
   * All pauses of one request together, in milliseconds. A server that asks for more than what is left of it is not waited for: the error
   * says until when. Default 180000.
   */
  totalDelayMs?: number;
}

export const DEFAULT_RETRY: Required<RetryOptions> = { attempts: 5, baseDelayMs: 500, maxDelayMs: 60_000, totalDelayMs: 180_000 };

/** Thrown inside `retrying` by what may go away: holds the error to report if it does not. */
export class Transient extends Error {
  readonly error: Error;
  readonly retryAfterMs: number | undefined;

  constructor(error: Error, retryAfterMs?: number) {
    super(error.message);
    this.error = error;
    this.retryAfterMs = retryAfterMs;
  }
}

const TRANSIENT_STATUS = new Set([408, 425, 429, 500, 502, 503, 504]);
export const isTransientStatus = (status: number): boolean => TRANSIENT_STATUS.has(status);

/** Refused and unknown hosts are mistakes more often than hiccups: those are reported at once. */
const TRANSIENT_CODES = new Set([
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'ECONNABORTED',
  'ERR_STREAM_PREMATURE_CLOSE',
  'HPE_INVALID_EOF_STATE',
]);

/** Marks a network error that may pass as transient; gives back others as they are. */
export function asTransient(error: unknown): unknown {
  const code = error instanceof ImageError ? (error.cause as { code?: string } | undefined)?.code : undefined;
  return code !== undefined && TRANSIENT_CODES.has(code) ? new Transient(error as ImageError) : error;
}

/** Milliseconds of a Retry-After header (seconds or a date); undefined when it makes no sense. */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,15}$/.test(header.trim())) return Number(header) * 1000;
  const date = /^[A-Z][a-z]{2}/.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** Told before a pause: why there is one, and how long it is. */
export type OnWait = (wait: { what: string; ms: number }) => void;

/** Runs `work` until it succeeds, throws something that is not Transient, or the patience is used up. */
export async function retrying<T>(
  what: string,
  options: RetryOptions,
  signal: AbortSignal,
  work: (attempt: number) => Promise<T>,
  onWait?: OnWait,
): Promise<T> {
  const { attempts, baseDelayMs, maxDelayMs, totalDelayMs } = { ...DEFAULT_RETRY, ...options };
  let waited = 0;
  for (let attempt = 1; ; attempt++) {
    try {
      return await work(attempt);
    } catch (thrown) {
      if (!(thrown instanceof Transient)) throw thrown;
      // Asking again before that is of no use, and waiting for hours looks like a program that hangs.
      if ((thrown.retryAfterMs ?? 0) > totalDelayMs - waited) throw notBefore(thrown.error, thrown.retryAfterMs as number);
      const jitter = 0.75 + Math.random() / 2;
      const delay = Math.min(maxDelayMs, Math.max(baseDelayMs * 2 ** (attempt - 1) * jitter, thrown.retryAfterMs ?? 0));
      waited += delay;
      if (attempt >= attempts || waited > totalDelayMs) throw thrown.error;
      onWait?.({ what: firstLine(thrown.error), ms: Math.round(delay) });
      await pause(delay, what, signal);
    }
  }
}

/** Without the hint, which follows on a line of its own. */
const firstLine = (error: Error): string => error.message.split('\n', 1)[0] as string;

/** The latest time that a Date can hold. */
const LAST_TIME = 8.64e15;

/** The error of a server that named a time, with the time. */
function notBefore(error: Error, ms: number): Error {
  if (!(error instanceof ImageError)) return error;
  const until = new Date(Math.min(LAST_TIME, Date.now() + ms)).toISOString();
  const { code, reference, digest, url, status } = error;
  const facts = Object.fromEntries(Object.entries({ reference, digest, url, status }).filter(([, v]) => v !== undefined));
  return new ImageError(code, `${firstLine(error)}, and wants not to be asked before ${until}`, facts, {
    hint: `${error.hint === undefined ? '' : `${error.hint}; `}to wait that long, raise retry.totalDelayMs and retry.maxDelayMs`,
    cause: error.cause,
  });
}

/** A pause that a signal ends with an AbortError. */
export async function pause(ms: number, what: string, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw new AbortError(what, signal.reason);
  }
}
