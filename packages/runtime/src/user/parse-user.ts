// The one parser for users and groups as text. CVE-2016-3697, CVE-2024-40635: digits taken for a name, or a number
// that overflowed to 0, made other engines run programs as root.
import { InvalidArgumentError } from '@ctr/internal/errors';

/** 2^32-1 means "leave it" to setresuid(2). */
const MAX_ID = 2 ** 32 - 2;

/** A number is always an id, anything else is always a name. */
export type UserPart = { readonly id: number } | { readonly name: string };

export interface UserText {
  readonly user: UserPart;
  readonly group: UserPart | undefined;
}

const EXPECTED = 'a user such as "1000", "name", "1000:1000" or "name:group"';

function part(text: string, path: string, whole: string): UserPart {
  if (/^\d+$/.test(text)) {
    const id = Number(text);
    if (text.length > 10 || id > MAX_ID) throw new InvalidArgumentError(path, 'ids from 0 to 4294967294', whole);
    return { id };
  }
  // What useradd(8) takes, and dots and capitals beside it; no sign, which would make a number of it.
  if (!/^[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?$/.test(text)) throw new InvalidArgumentError(path, EXPECTED, whole);
  return { name: text };
}

/** 'name' | '1000' | 'name:group' | '1000:1000'. Empty text is user 0, as in an image without a User. */
export function parseUser(text: string, path = 'user'): UserText {
  if (text === '') return { user: { id: 0 }, group: undefined };
  const [user, group, ...more] = text.split(':');
  if (more.length > 0 || user === undefined) throw new InvalidArgumentError(path, EXPECTED, text);
  return { user: part(user, path, text), group: group === undefined ? undefined : part(group, path, text) };
}
