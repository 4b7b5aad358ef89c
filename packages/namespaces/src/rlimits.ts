// Resource limits of a process: names and numbers (the same on x86-64 and arm64), defaults, checks, and their bytes for prlimit64(2).
import { didYouMean, InvalidArgumentError } from '@ctr/internal/errors';

/**
 * Every limit by its name in lower case without RLIMIT_, with its number.
 * Units: cpu in seconds, rttime in microseconds, core, fsize, data, stack, rss, as, memlock and msgqueue in bytes, the rest are counts.
 * @see <https://man7.org/linux/man-pages/man2/getrlimit.2.html>
 */
export const RLIMITS = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

/** The name of a resource limit. */
export type RlimitName = keyof typeof RLIMITS;

/** A pair of limits; `Infinity` means no limit. */
export interface Rlimit {
  /** What is enforced; the process may raise it up to `hard`. */
  soft: number;
  /** What `soft` may be raised to; without CAP_SYS_RESOURCE it can only fall. */
  hard: number;
}

/**
 * What a container gets unless asked otherwise. No core dumps, because a pipe handler in core_pattern runs as root of the host.
 * 1024 descriptors to begin with, because select(2) and programs that close every descriptor suffer from more; 8 MiB of locked memory.
 * The number of processes is left to the pids controller.
 */
export const DEFAULT_RLIMITS: Readonly<Partial<Record<RlimitName, Rlimit>>> = {
  core: { soft: 0, hard: 0 },
  nofile: { soft: 1024, hard: 524288 },
  memlock: { soft: 8388608, hard: 8388608 },
};

const NAMES = Object.keys(RLIMITS) as RlimitName[];

/**
 * The name of a limit from what people and OCI configs write: 'nofile', 'NOFILE' or 'RLIMIT_NOFILE'.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown name, with the right spelling when one is near.
 */
export function parseRlimitName(name: unknown, path = 'rlimits'): RlimitName {
  const short = typeof name === 'string' ? name.toLowerCase().replace(/^rlimit_/, '') : '';
  if (Object.hasOwn(RLIMITS, short)) return short as RlimitName;
  throw new InvalidArgumentError(path, `named after resource limits such as 'nofile'${didYouMean(short, NAMES)}`, name);
}

function parseOne(value: unknown, path: string): number {
  if (value === 'unlimited' || value === -1 || value === Number.POSITIVE_INFINITY) return Number.POSITIVE_INFINITY;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError(path, "a whole number from 0, or 'unlimited'", value);
}

/**
 * One limit: a number for both, 'unlimited', or `{ soft, hard }` whose parts are such. -1 and `Infinity` mean unlimited too.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for anything else, and when soft is above hard.
 * @example parseRlimit({ soft: 1024, hard: 'unlimited' })
 */
export function parseRlimit(value: unknown, path = 'rlimit'): Rlimit {
  if (typeof value !== 'object' || value === null) {
    const both = parseOne(value, path);
    return { soft: both, hard: both };
  }
  for (const key of Object.keys(value)) {
    if (key !== 'soft' && key !== 'hard')
      throw new InvalidArgumentError(`${path}.${key}`, "absent: a limit has only 'soft' and 'hard'", key);
  }
  const { soft, hard } = value as { soft?: unknown; hard?: unknown };
  const pair = { soft: parseOne(soft, `${path}.soft`), hard: parseOne(hard, `${path}.hard`) };
  if (pair.soft > pair.hard) throw new InvalidArgumentError(`${path}.soft`, `at most ${path}.hard (${pair.hard})`, pair.soft);
  return pair;
}

/**
 * A record of limits by name.
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT for an unknown name, a name given twice ('nofile' and 'RLIMIT_NOFILE'), or a bad value.
 * @example parseRlimits({ nofile: 4096, RLIMIT_CORE: { soft: 0, hard: 'unlimited' } })
 */
export function parseRlimits(values: unknown, path = 'rlimits'): Partial<Record<RlimitName, Rlimit>> {
  if (typeof values !== 'object' || values === null || Array.isArray(values)) {
    throw new InvalidArgumentError(path, 'an object such as { nofile: 4096 }', values);
  }
  const limits: Partial<Record<RlimitName, Rlimit>> = {};
  for (const [key, value] of Object.entries(values)) {
    if (value === undefined) continue;
    const name = parseRlimitName(key, path);
    if (limits[name]) throw new InvalidArgumentError(path, `without two spellings of '${name}'`, key);
    limits[name] = parseRlimit(value, `${path}.${key}`);
  }
  return limits;
}

/**
 * The nearest limit that a process without CAP_SYS_RESOURCE can set: neither part above its present hard limit.
 * Meant for defaults only, which are wishes. A limit that the user asked for is better refused with a reason than lowered in
 * silence. The capability counts only in the host's first user namespace: in a container even root cannot raise a hard limit.
 * @param wanted the default.
 * @param currentHard the hard limit of the process that will set it; `Infinity` when there is none.
 * @example clampRlimit({ soft: 1024, hard: 524288 }, 4096) // { soft: 1024, hard: 4096 }
 */
export function clampRlimit(wanted: Rlimit, currentHard: number): Rlimit {
  return { soft: Math.min(wanted.soft, currentHard), hard: Math.min(wanted.hard, currentHard) };
}

const encodeOne = (limit: number): bigint => (limit === Number.POSITIVE_INFINITY ? 0xffffffffffffffffn : BigInt(limit));

/** The `struct rlimit64` of prlimit64(2): soft, then hard, 8 bytes each; all bits set means unlimited. */
export function encodeRlimit(limit: Rlimit): Uint8Array {
  const bytes = new DataView(new ArrayBuffer(16));
  bytes.setBigUint64(0, encodeOne(limit.soft), true);
  bytes.setBigUint64(8, encodeOne(limit.hard), true);
  return new Uint8Array(bytes.buffer);
}

/** The words by which /proc/<pid>/limits calls each limit, in the order of their numbers (fs/proc/base.c). */
const PROC_TITLES: readonly string[] = [
  'Max cpu time',
  'Max file size',
  'Max data size',
  'Max stack size',
  'Max core file size',
  'Max resident set',
  'Max processes',
  'Max open files',
  'Max locked memory',
  'Max address space',
  'Max file locks',
  'Max pending signals',
  'Max msgqueue size',
  'Max nice priority',
  'Max realtime priority',
  'Max realtime timeout',
];

/** The limits that a process has, from the text of /proc/<pid>/limits; lines that are not understood are left out. */
export function parseProcLimits(text: string): Partial<Record<RlimitName, Rlimit>> {
  const limits: Partial<Record<RlimitName, Rlimit>> = {};
  const read = (word: string) => (word === 'unlimited' ? Number.POSITIVE_INFINITY : Number(word));
  for (const line of text.split('\n')) {
    const match = /^(Max [a-z ]*[a-z]) +(unlimited|\d+) +(unlimited|\d+)/.exec(line);
    const name = NAMES[PROC_TITLES.indexOf(match?.[1] ?? '')];
    if (match && name) limits[name] = { soft: read(match[2] as string), hard: read(match[3] as string) };
  }
  return limits;
}
