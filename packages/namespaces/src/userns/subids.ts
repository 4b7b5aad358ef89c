// The ranges of ids that the administrator gave to a user: /etc/subuid and /etc/subgid.
import { accessSync, constants, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import type { IdRange } from './id-map.js';

/** What an ordinary user may map beside its own id, and by which programs. */
export interface SubIds {
  readonly uid: readonly IdRange[];
  readonly gid: readonly IdRange[];
  /** The set-user-ID programs of the package uidmap; `undefined`: not installed. */
  readonly newuidmap: string | undefined;
  readonly newgidmap: string | undefined;
  /** Why no range can be mapped, and what an administrator does about it; `undefined`: ranges can be mapped. */
  readonly missing: { readonly why: string; readonly cure: string } | undefined;
}

/** Where {@link readSubIds} looks; for tests. */
export interface SubIdSources {
  uid?: number;
  /** The user's name; `undefined`: as the system's database of users has it. */
  name?: string | undefined;
  read?: (path: string) => string;
  find?: (program: string) => string | undefined;
}

const MAX_ID = 0xfffffffe;

/**
 * The ranges of one user in the text of /etc/subuid or /etc/subgid: lines of `name:start:count` or `uid:start:count`. What
 * is no such line is left out, as newuidmap(1) does.
 *
 * @see <https://man7.org/linux/man-pages/man5/subuid.5.html>
 */
export function parseSubIds(text: string, name: string | undefined, uid: number): IdRange[] {
  return text.split('\n').flatMap((line): IdRange[] => {
    const [who, first = '', count = ''] = line.trim().split(':');
    if (who === undefined || who === '' || (who !== name && who !== String(uid))) return [];
    if (!/^\d+$/.test(first) || !/^\d+$/.test(count)) return [];
    const range = { start: Number(first), size: Number(count) };
    return range.size > 0 && range.start + range.size - 1 <= MAX_ID ? [range] : [];
  });
}

const DIRECTORIES = ['/usr/bin', '/bin', '/usr/local/bin', '/usr/sbin', '/run/wrappers/bin'];

function findProgram(name: string): string | undefined {
  return [...new Set([...(process.env['PATH'] ?? '').split(':'), ...DIRECTORIES])]
    .filter((d) => d.startsWith('/'))
    .map((d) => `${d}/${name}`)
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

function nameOf(uid: number): string | undefined {
  try {
    const info = userInfo();
    return info.uid === uid ? info.username : undefined;
  } catch {
    // There is no such user in the system's database.
    return undefined;
  }
}

function readOr(read: (path: string) => string, path: string): string {
  try {
    return read(path);
  } catch {
    return '';
  }
}

function whatIsMissing(found: Omit<SubIds, 'missing'>, who: string): SubIds['missing'] {
  if (found.newuidmap === undefined || found.newgidmap === undefined)
    return { why: 'newuidmap and newgidmap are not installed', cure: 'install the package uidmap (shadow-utils on other systems)' };
  if (found.uid.length > 0 && found.gid.length > 0) return undefined;
  const file = found.uid.length === 0 ? '/etc/subuid' : '/etc/subgid';
  return {
    why: `${file} has no range for user ${who}`,
    cure: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${who} (as root; choose ranges that nobody else has)`,
  };
}

/**
 * Reads which ranges of ids this user may map in a user namespace.
 *
 * @example
 * ```ts
 * const { uid, missing } = readSubIds()
 * console.log(missing ? `${missing.why}: ${missing.cure}` : uid) // [{ start: 100000, size: 65536 }]
 * ```
 */
export function readSubIds(sources: SubIdSources = {}): SubIds {
  const uid = sources.uid ?? process.geteuid?.() ?? -1;
  const name = 'name' in sources ? sources.name : nameOf(uid);
  const read = sources.read ?? ((path) => readFileSync(path, 'utf8'));
  const find = sources.find ?? findProgram;
  const found = {
    uid: parseSubIds(readOr(read, '/etc/subuid'), name, uid),
    gid: parseSubIds(readOr(read, '/etc/subgid'), name, uid),
    newuidmap: find('newuidmap'),
    newgidmap: find('newgidmap'),
  };
  return { ...found, missing: whatIsMissing(found, name ?? String(uid)) };
}
