// Ranges of ids that no other container has. What is taken is known by locks that the kernel holds for the monitor: they
// end with it, by whatever cause, so that no record can be left behind and nothing has to be collected.
//
//   lock file:  byte n = uid n        byte 2^32 + n = gid n
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { assertLinux, InvalidArgumentError, UnsupportedError } from '@ctr/internal/errors';
import { named, type Step, slot } from '@ctr/internal/steps';
import { hold } from '../hold.js';
import { StartError } from '../launcher/start-error.js';
import { AT_FDCWD, openFlags } from '../steps/flags.js';
import type { IdMaps, IdRange } from './id-map.js';
import { readSubIds, type SubIds } from './subids.js';

/** Ids for one container alone, until they are released or this process and its monitor are gone. */
export interface ClaimedIds {
  readonly uid: IdRange;
  readonly gid: IdRange;
  /** The range as the ids from 0 on. */
  readonly idMaps: IdMaps;
  /** Resolves when others can have them. */
  release(): Promise<void>;
}

/** What {@link claimIds} takes. */
export interface ClaimOptions {
  /** How many uids, and how many gids; default 65536 as root, and 1024 out of an ordinary user's ranges. */
  size?: number;
  /** Where the locks are; all that shall be disjoint must name the same. Default: one file for each user. */
  lockFile?: string;
}

const EAGAIN = -11;
const EACCES = -13;
const F_OFD_SETLK = named(37, 'F_OFD_SETLK');
const F_WRLCK = 1;
/** Bytes of the gids lie above all uids. */
const GIDS = 2 ** 32;
const ROOT_SIZE = 65_536;
const USER_SIZE = 1024;
/** For containers by <https://systemd.io/UIDS-GIDS/>: 524288 to 1879048191, in blocks of 65536. */
const FIRST = 0x80000;
const LAST = 0x6fffffff;
const MAX_SIZE = 0x1000000;

/** In /run for root; else the user's own runtime folder, or a file in the temporary one that is his alone. */
export function defaultLockFile(uid: number, env: NodeJS.ProcessEnv = process.env): string {
  if (uid === 0) return '/run/ctr-ids.lock';
  return env['XDG_RUNTIME_DIR'] ? path.join(env['XDG_RUNTIME_DIR'], 'ctr-ids.lock') : path.join(tmpdir(), `ctr-ids-${uid}.lock`);
}

/** fcntl(2), open file description lock of `size` bytes: struct flock. */
function lock(start: number, size: number, what: string): Step {
  const bytes = Buffer.alloc(32);
  bytes.writeInt16LE(F_WRLCK, 0);
  bytes.writeBigInt64LE(BigInt(start), 8);
  bytes.writeBigInt64LE(BigInt(size), 16);
  return { call: 'fcntl', args: [slot('ids'), F_OFD_SETLK, { bytes, text: what }], doing: `claim ${what}` };
}

/** Both or none; undefined when somebody has one of these ids. */
async function tryClaim(lockFile: string, uid: IdRange, gid: IdRange): Promise<ClaimedIds | undefined> {
  const flags = openFlags('O_RDWR', 'O_CREAT', 'O_NOFOLLOW', 'O_CLOEXEC');
  try {
    const held = await hold({
      doing: 'claim a range of ids',
      prepare: [
        // SECURITY: no link is followed, since the temporary folder is everybody's.
        { call: 'openat', args: [AT_FDCWD, lockFile, flags, named(0o600, '0600')], into: 'ids', doing: `open ${lockFile}` },
        lock(uid.start, uid.size, `uid ${uid.start} to ${uid.start + uid.size - 1}`),
        lock(GIDS + gid.start, gid.size, `gid ${gid.start} to ${gid.start + gid.size - 1}`),
      ],
      cleanup: [],
    });
    const map = ({ start, size }: IdRange) => [{ containerId: 0, hostId: start, size }];
    return { uid, gid, idMaps: { uid: map(uid), gid: map(gid) }, release: () => held.release() };
  } catch (e) {
    // fcntl(2): which of the two is up to the system.
    if (e instanceof StartError && e.syscall === 'fcntl' && (e.errno === EAGAIN || e.errno === EACCES)) return undefined;
    throw e;
  }
}

/** Ranges that the files of users give away; what cannot be read gives nothing. */
function takenRanges(): IdRange[] {
  const lines = (file: string): string[][] => {
    try {
      return readFileSync(file, 'utf8')
        .split('\n')
        .map((l) => l.split(':'));
    } catch {
      return [];
    }
  };
  const subordinate = ['/etc/subuid', '/etc/subgid']
    .flatMap(lines)
    .map(([, start, size]) => ({ start: Number(start), size: Number(size) }));
  const single = ['/etc/passwd', '/etc/group'].flatMap(lines).map((f) => ({ start: Number(f[2]), size: 1 }));
  return [...subordinate, ...single].filter((r) => r.size > 0 && r.start >= 0);
}

/** Places for root: from a random one on, so that those who start at the same time seldom meet. */
function* rootPlaces(size: number): Generator<[IdRange, IdRange]> {
  const step = Math.ceil(size / ROOT_SIZE) * ROOT_SIZE;
  const count = Math.floor((LAST + 1 - FIRST) / step);
  const taken = takenRanges();
  const first = randomInt(count);
  for (let i = 0; i < count; i++) {
    const start = FIRST + ((first + i) % count) * step;
    if (taken.some((r) => r.start < start + size && start < r.start + r.size)) continue;
    yield [
      { start, size },
      { start, size },
    ];
  }
}

const pieces = (ranges: readonly IdRange[], size: number): IdRange[] =>
  ranges.flatMap((r) => Array.from({ length: Math.floor(r.size / size) }, (_, i) => ({ start: r.start + i * size, size })));

function* userPlaces(size: number, subids: SubIds): Generator<[IdRange, IdRange]> {
  const gids = pieces(subids.gid, size);
  const uids = pieces(subids.uid, size);
  for (let i = 0; i < Math.min(uids.length, gids.length); i++) yield [uids[i] as IdRange, gids[i] as IdRange];
}

function places(size: number, uid: number): Generator<[IdRange, IdRange]> {
  if (uid === 0) return rootPlaces(size);
  const subids = readSubIds();
  if (subids.missing === undefined) return userPlaces(size, subids);
  const { why, cure } = subids.missing;
  throw new UnsupportedError('a range of ids of its own', 'ranges in /etc/subuid and /etc/subgid', why, { hint: cure });
}

/**
 * Claims a range of uids and gids that no other container has: out of the high ids that are meant for containers as root,
 * out of the ranges of /etc/subuid and /etc/subgid otherwise. `podman run --userns=auto`.
 *
 * Who has what is known by kernel locks that the monitor holds: after `kill -9` of everything all are free again.
 *
 * @throws UnsupportedError CTR_UNSUPPORTED when none is left, or this user has no ranges; InvalidArgumentError CTR_INVALID_ARGUMENT.
 * @remarks Linux 3.15 (open file description locks).
 * @example
 * ```ts
 * const ids = await claimIds()
 * await using box = await spawn({ args: ['id'], env: process.env, namespaces: { user: 'new' }, idMaps: ids.idMaps })
 * await box.cleaned
 * await ids.release()
 * ```
 */
export async function claimIds(options: ClaimOptions = {}): Promise<ClaimedIds> {
  assertLinux('claimIds()');
  const uid = process.geteuid?.() ?? 0;
  const { size = uid === 0 ? ROOT_SIZE : USER_SIZE, lockFile = defaultLockFile(uid) } = options;
  if (!Number.isInteger(size) || size < 1 || size > MAX_SIZE)
    throw new InvalidArgumentError('size', `a whole number from 1 to ${MAX_SIZE}`, size);
  if (!path.isAbsolute(lockFile)) throw new InvalidArgumentError('lockFile', 'an absolute path', lockFile);
  for (const [uids, gids] of places(size, uid)) {
    const claimed = await tryClaim(lockFile, uids, gids);
    if (claimed !== undefined) return claimed;
  }
  throw new UnsupportedError('a range of ids of its own', `${size} ids in a row that no container has`, 'all taken', {
    hint:
      uid === 0
        ? 'end some containers'
        : 'end some containers, ask for a smaller size, or for larger ranges in /etc/subuid and /etc/subgid',
  });
}
