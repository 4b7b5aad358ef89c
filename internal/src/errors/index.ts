// The error classes of all packages. Shape: Node's system errors (code, negative errno, syscall, path,
// dest) plus what we were doing, the stage, the step and a hint. See docs/errors.md.
import { branded } from './brand.js';
import { errnoName, errnoText } from './errno.js';

export { branded } from './brand.js';
export { closestName, didYouMean } from './did-you-mean.js';
export { errnoName, errnoNumber, errnoText } from './errno.js';

export interface CtrErrorOptions {
  cause?: unknown;
  /** One sentence of advice: how to cure it. */
  hint?: string | undefined;
  /** Extra lines between the headline and the hint, such as the call as strace prints it. */
  detail?: string | undefined;
}

const withLines = (head: string, o: CtrErrorOptions): string =>
  [head, ...(o.detail ? [`  ${o.detail}`] : []), ...(o.hint ? [`  hint: ${o.hint}`] : [])].join('\n');

/** Base of every error that the @ctr packages throw: test `code`, never `message`. */
export abstract class CtrError extends Error {
  /** 'CTR_…', or for a failed system call the errno's name, as in Node. */
  readonly code: string;
  /** How to cure it; `undefined` when nothing better than the message is known. */
  readonly hint: string | undefined;
  /** Errors of the clean-up that followed; they never replace the first error. */
  declare cleanup?: Error[];

  constructor(code: string, message: string, options: CtrErrorOptions = {}) {
    super(withLines(message, options), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
  }
}
branded(CtrError, 'CtrError');

export interface SyscallFacts {
  /** Errno, positive or negative; kept negative. */
  errno: number;
  syscall: string;
  path?: string | undefined;
  dest?: string | undefined;
  /** What we were doing, such as 'create the cgroup "web"'. */
  doing?: string | undefined;
}

/** A system call failed: `code` is the errno's name, `errno` is negative, as in Node's own errors. */
export class SyscallError extends CtrError {
  readonly errno: number;
  readonly syscall: string;
  declare readonly path?: string;
  declare readonly dest?: string;

  constructor(facts: SyscallFacts, options: CtrErrorOptions = {}) {
    const code = errnoName(facts.errno);
    const where = [facts.path, facts.dest].filter((x) => x !== undefined).map((x) => ` ${JSON.stringify(x)}`);
    super(code, `${facts.doing ? `${facts.doing}: ` : ''}${facts.syscall}${where.join(' ->')}: ${code} (${errnoText(code)})`, options);
    this.errno = -Math.abs(facts.errno);
    this.syscall = facts.syscall;
    if (facts.path !== undefined) this.path = facts.path;
    if (facts.dest !== undefined) this.dest = facts.dest;
  }
}
branded(SyscallError, 'SyscallError');

/** Turns any error of `node:fs` and friends into a SyscallError that says what we were doing; others pass unchanged. */
export function syscallErrorFrom(error: unknown, doing: string, options: CtrErrorOptions = {}): Error {
  const e = error as NodeJS.ErrnoException & { dest?: string };
  if (error instanceof CtrError || typeof e?.errno !== 'number' || typeof e.syscall !== 'string') return error as Error;
  return new SyscallError({ errno: e.errno, syscall: e.syscall, path: e.path, dest: e.dest, doing }, { cause: error, ...options });
}

/** The kernel, the host's set-up or this user's privileges cannot do what was asked; nothing was changed. Code CTR_UNSUPPORTED. */
export class UnsupportedError extends CtrError {
  /** What was asked for, such as 'memory limit'. */
  readonly feature: string;
  /** What it needs, such as 'Linux 5.11' or 'a delegated cgroup with the memory controller'. */
  readonly requires: string;
  /** What was found instead. */
  readonly found: string | undefined;

  constructor(feature: string, requires: string, found?: string, options: CtrErrorOptions = {}) {
    super('CTR_UNSUPPORTED', `${feature} is not available here: it needs ${requires}${found ? `, found ${found}` : ''}`, options);
    this.feature = feature;
    this.requires = requires;
    this.found = found;
  }
}
branded(UnsupportedError, 'UnsupportedError');

/** Shows a rejected value shortly and safely: strings quoted and cut, objects by their type. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') {
    const cut = value.length > 60 ? `${value.slice(0, 60)}…` : value;
    return `${JSON.stringify(cut)} (string${value.length > 60 ? ` of ${value.length} characters` : ''})`;
  }
  if (value === null || value === undefined) return String(value);
  if (typeof value === 'number' || typeof value === 'boolean') return `${value} (${typeof value})`;
  if (typeof value === 'bigint') return `${value}n (bigint)`;
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === 'object') return 'an object';
  return `a ${typeof value}`;
}

/** An option has the wrong type, value or name; thrown before anything on the host is touched. Code CTR_INVALID_ARGUMENT. */
export class InvalidArgumentError extends CtrError {
  /** Where in the options, such as 'mounts[2].target'. */
  readonly path: string;
  /** What would be right, in words. */
  readonly expected: string;
  /** What came, shown shortly. */
  readonly received: string;

  constructor(path: string, expected: string, received: unknown, options: CtrErrorOptions = {}) {
    const shown = describeValue(received);
    super('CTR_INVALID_ARGUMENT', `expected ${JSON.stringify(path)} to be ${expected}, received ${shown}`, options);
    this.path = path;
    this.expected = expected;
    this.received = shown;
  }
}
branded(InvalidArgumentError, 'InvalidArgumentError');

/** Clean-up failed somewhere: `errors` holds every failure. Code CTR_CLEANUP_FAILED. */
export class CleanupError extends CtrError {
  readonly errors: Error[];

  constructor(what: string, errors: Error[]) {
    super('CTR_CLEANUP_FAILED', `clean up ${what}: ${errors.map((e) => e.message).join('; ')}`, { cause: errors[0] });
    this.errors = errors;
  }
}
branded(CleanupError, 'CleanupError');

export type ImageErrorCode =
  | 'CTR_IMAGE_NOT_FOUND'
  | 'CTR_IMAGE_DIGEST_MISMATCH'
  | 'CTR_IMAGE_AUTH'
  | 'CTR_IMAGE_REGISTRY'
  | 'CTR_IMAGE_PLATFORM'
  | 'CTR_IMAGE_INVALID'
  | 'CTR_IMAGE_LIMIT';

export interface ImageErrorFacts {
  reference?: string | undefined;
  digest?: string | undefined;
  url?: string | undefined;
  /** HTTP status, when a registry answered. */
  status?: number | undefined;
}

/** An image could not be found, fetched, verified or unpacked; nothing half-made remains. */
export class ImageError extends CtrError {
  override readonly code: ImageErrorCode;
  readonly reference: string | undefined;
  readonly digest: string | undefined;
  readonly url: string | undefined;
  readonly status: number | undefined;

  constructor(code: ImageErrorCode, message: string, facts: ImageErrorFacts = {}, options: CtrErrorOptions = {}) {
    super(code, message, options);
    this.code = code;
    this.reference = facts.reference;
    this.digest = facts.digest;
    this.url = facts.url;
    this.status = facts.status;
  }
}
branded(ImageError, 'ImageError');

/** The AbortSignal fired: `name` is 'AbortError' as everywhere in Node, `cause` is the signal's reason. */
export class AbortError extends CtrError {
  constructor(what: string, reason: unknown) {
    super('ABORT_ERR', `${what}: aborted`, { cause: reason });
    this.name = 'AbortError';
  }
}
branded(AbortError, 'AbortError');
Object.defineProperty(AbortError.prototype, 'name', { value: 'AbortError', writable: true, configurable: true });

/** Rejects work when not on Linux: an import works everywhere, a call says why it cannot. */
export function assertLinux(feature: string): void {
  if (process.platform !== 'linux') throw new UnsupportedError(feature, 'Linux 5.15 or newer', process.platform);
}
