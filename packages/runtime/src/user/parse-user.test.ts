// Users as text: a number is always an id, anything else a name or an error.
import { describe, expect, it } from 'vitest';
import { parseUser } from './parse-user.js';

describe('parseUser', () => {
  it.each([
    ['', { user: { id: 0 }, group: undefined }],
    ['0', { user: { id: 0 }, group: undefined }],
    ['007', { user: { id: 7 }, group: undefined }],
    ['4294967294', { user: { id: 4294967294 }, group: undefined }],
    ['www-data', { user: { name: 'www-data' }, group: undefined }],
    ['1000:staff', { user: { id: 1000 }, group: { name: 'staff' } }],
    ['_apt:0', { user: { name: '_apt' }, group: { id: 0 } }],
    ['machine$', { user: { name: 'machine$' }, group: undefined }],
  ])('%j', (text, parsed) => expect(parseUser(text)).toEqual(parsed));

  // CVE-2024-40635, CVE-2026-46680: overflow to 0, or a large number taken for a name.
  it.each([
    '4294967295',
    '4294967296',
    '18446744073709551616',
    '00000000001',
    '-1',
    '+1',
    '1e3',
    '0x0',
    ' 1',
    '1 ',
    '1:2:3',
    ':',
    '1:',
    ':1',
    'a b',
    'a\nb',
    'ü',
    '.x',
    'a'.repeat(70),
  ])('refuses %j', (text) => expect(() => parseUser(text)).toThrow(/^expected "user" to be/));
});
