// Linux signals by name and number, realtime signals included; the same on every operating system that reads this file.
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

const NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS';

/** Further names of the same numbers, as signal(7) lists them. */
const ALIASES: Readonly<Record<string, number>> = { SIGIOT: 6, SIGCLD: 17, SIGPOLL: 29, SIGUNUSED: 31 };

/** The first realtime signal of a program that uses a C library: glibc keeps 32 and 33, musl 32 to 34, for its threads. */
export const SIGRTMIN = 34;
/** The last realtime signal. */
export const SIGRTMAX = 64;

/** The 31 classic signals, name to number: 'SIGHUP' 1 to 'SIGSYS' 31. */
export const SIGNALS: ReadonlyMap<string, number> = new Map(NAMES.split(' ').map((name, i) => [`SIG${name}`, i + 1]));

const BY_NUMBER: ReadonlyMap<number, string> = new Map([...SIGNALS].map(([name, number]) => [number, name]));

function realtime(name: string): number | undefined {
  const match = /^SIGRT(?:MIN(?:\+(\d{1,2}))?|MAX(?:-(\d{1,2}))?)$/.exec(name);
  if (!match) return undefined;
  const number = name.startsWith('SIGRTMIN') ? SIGRTMIN + Number(match[1] ?? 0) : SIGRTMAX - Number(match[2] ?? 0);
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : undefined;
}

function fromName(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) return Number(text);
  const upper = text.toUpperCase();
  const full = upper.startsWith('SIG') ? upper : `SIG${upper}`;
  return SIGNALS.get(full) ?? ALIASES[full] ?? realtime(full);
}

/**
 * The number of a signal from what people and image configs write: 'SIGTERM', 'TERM', 'term', 15, '15', 'SIGRTMIN+3', 'RTMAX-1'.
 * @param path where the value stands in the options, for the message.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for anything else, and for numbers outside 1 to 64.
 * @see <https://man7.org/linux/man-pages/man7/signal.7.html>
 * @example signalNumber('RTMIN+3') // 37
 */
export function signalNumber(value: unknown, path = 'signal'): number {
  const number = typeof value === 'number' ? value : typeof value === 'string' ? fromName(value) : undefined;
  if (number !== undefined && Number.isInteger(number) && number >= 1 && number <= SIGRTMAX) return number;
  const near = typeof value === 'string' ? didYouMean(/^sig/i.test(value) ? value : `SIG${value}`, SIGNALS.keys()) : '';
  throw new InvalidArgumentError(path, `a signal such as 'SIGTERM' or 15${near}`, value);
}

/**
 * The name of a signal number: 15 is 'SIGTERM', 37 is 'SIGRTMIN+3', 32 is 'SIG32' (the C library's own).
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for numbers outside 1 to 64.
 */
export function signalName(number: number): string {
  const checked = signalNumber(number);
  const name = BY_NUMBER.get(checked);
  if (name !== undefined) return name;
  if (checked < SIGRTMIN) return `SIG${checked}`;
  if (checked === SIGRTMAX) return 'SIGRTMAX';
  return checked === SIGRTMIN ? 'SIGRTMIN' : `SIGRTMIN+${checked - SIGRTMIN}`;
}
