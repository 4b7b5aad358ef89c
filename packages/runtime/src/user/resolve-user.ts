// Users and groups of a container by its own /etc/passwd and /etc/group, which are an image's bytes: read bounded,
// line by line, and never through the host's name service (CVE-2019-14271).
import { ImageError } from '@ctr/internal/errors';
import type { UserOption } from '../options/run-options.js';
import { parseUser, type UserPart } from './parse-user.js';

export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, without the primary one. */
  readonly groups: readonly number[];
  /** From passwd, else '/'. */
  readonly home: string;
  readonly umask: number;
}

/** Reads a file of the container's root; null when there is none. */
export type ReadFile = (path: string) => Promise<Buffer | null>;

/** Longer than any real line of these files; what is longer is no entry. */
const MAX_LINE = 4096;
/** The kernel's NGROUPS_MAX. */
const MAX_GROUPS = 65_536;
const DEFAULT_UMASK = 0o022;

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const id = (text: string | undefined): number | undefined => {
  const n = text !== undefined && /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  return n <= 2 ** 32 - 2 ? n : undefined;
};

function* lines(file: Buffer | null): Generator<string[]> {
  for (const line of (file?.toString('latin1') ?? '').split('\n')) {
    if (line.length <= MAX_LINE && !line.startsWith('#')) yield line.split(':');
  }
}

export function findPasswd(file: Buffer | null, user: UserPart): PasswdEntry | undefined {
  for (const [name, , uidText, gidText, , home] of lines(file)) {
    const [uid, gid] = [id(uidText), id(gidText)];
    if (name === undefined || uid === undefined || gid === undefined) continue;
    if ('id' in user ? uid === user.id : name === user.name) return { name, uid, gid, home: home?.startsWith('/') ? home : '/' };
  }
  return undefined;
}

function* groups(file: Buffer | null): Generator<GroupEntry> {
  for (const [name, , gidText, members] of lines(file)) {
    const gid = id(gidText);
    if (name !== undefined && gid !== undefined) yield { name, gid, members: (members ?? '').split(',') };
  }
}

const missing = (what: string, name: string, file: string): ImageError =>
  new ImageError(
    'CTR_IMAGE_INVALID',
    `${what} ${JSON.stringify(name)} is not in the container's ${file}`,
    {},
    {
      hint: `give a number instead, or use a root whose ${file} has it`,
    },
  ); // prettier-ignore

function groupId(file: Buffer | null, group: UserPart): number {
  if ('id' in group) return group.id;
  for (const entry of groups(file)) if (entry.name === group.name) return entry.gid;
  throw missing('group', group.name, '/etc/group');
}

/** Groups that list the user; CVE-2022-36109: without them a file that forbids a group would be open to the user. */
function membership(file: Buffer | null, user: string, primary: number): number[] {
  const found = new Set<number>();
  for (const entry of groups(file)) {
    if (entry.gid !== primary && entry.members.includes(user) && found.size < MAX_GROUPS) found.add(entry.gid);
  }
  return [...found];
}

async function fromText(text: string, read: ReadFile): Promise<ResolvedUser> {
  const { user, group } = parseUser(text);
  const [passwd, groupFile] = await Promise.all([read('/etc/passwd'), read('/etc/group')]);
  const entry = findPasswd(passwd, user);
  if (entry === undefined && 'name' in user) throw missing('user', user.name, '/etc/passwd');
  const uid = 'id' in user ? user.id : (entry as PasswdEntry).uid;
  const gid = group === undefined ? (entry?.gid ?? 0) : groupId(groupFile, group);
  // As in Docker, a group that was asked for stands alone.
  const supplementary = group === undefined && entry !== undefined ? membership(groupFile, entry.name, gid) : [];
  return { uid, gid, groups: supplementary, home: entry?.home ?? '/', umask: DEFAULT_UMASK };
}

/** A user as text or as numbers -> ids, groups and home. */
export async function resolveUser(user: string | UserOption, read: ReadFile): Promise<ResolvedUser> {
  if (typeof user === 'string') return fromText(user, read);
  const entry = findPasswd(await read('/etc/passwd'), { id: user.uid });
  return {
    uid: user.uid,
    gid: user.gid ?? entry?.gid ?? 0,
    groups: user.groups ?? [],
    home: entry?.home ?? '/',
    umask: user.umask ?? DEFAULT_UMASK,
  };
}
