// Users and groups by the files of a root, as Docker resolves them; the files are an image's and may be anything.
import { describe, expect, it } from 'vitest';
import { type ReadFile, resolveUser } from './resolve-user.js';

const PASSWD = `root:x:0:0:root:/root:/bin/sh
# a comment
broken line
node:x:1000:1000::/home/node:/bin/sh
big:x:4294967296:0::/:/bin/sh
odd:x:7:8::relative:/bin/sh
`;
const GROUP = `root:x:0:
node:x:1000:
audio:x:29:other,node
docker:x:998:node
staff:x:50:
`;
const files =
  (passwd: string | null, group: string | null): ReadFile =>
  async (path) => {
    const text = path === '/etc/passwd' ? passwd : group;
    return text === null ? null : Buffer.from(text);
  };
const resolve = (user: Parameters<typeof resolveUser>[0], passwd: string | null = PASSWD, group: string | null = GROUP) =>
  resolveUser(user, files(passwd, group));

describe('resolveUser', () => {
  it.each([
    ['', { uid: 0, gid: 0, groups: [], home: '/root' }],
    ['node', { uid: 1000, gid: 1000, groups: [29, 998], home: '/home/node' }],
    ['1000', { uid: 1000, gid: 1000, groups: [29, 998], home: '/home/node' }],
    ['node:staff', { uid: 1000, gid: 50, groups: [], home: '/home/node' }],
    ['12345', { uid: 12345, gid: 0, groups: [], home: '/' }],
    ['12345:77', { uid: 12345, gid: 77, groups: [], home: '/' }],
    ['odd', { uid: 7, gid: 8, groups: [], home: '/' }],
  ])('%j', async (user, expected) => expect(await resolve(user)).toMatchObject(expected));

  it('needs no files for numbers', async () => expect(await resolve('5:6', null, null)).toMatchObject({ uid: 5, gid: 6, home: '/' }));

  it('takes numbers as an object', async () => {
    expect(await resolve({ uid: 1000 })).toEqual({ uid: 1000, gid: 1000, groups: [], home: '/home/node', umask: 0o022 });
    expect(await resolve({ uid: 9, gid: 8, groups: [1], umask: 0o077 })).toEqual({ uid: 9, gid: 8, groups: [1], home: '/', umask: 0o077 });
  });

  it('says which file lacks the name', async () => {
    await expect(resolve('nobody')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ImageError: user "nobody" is not in the container's /etc/passwd
        hint: give a number instead, or use a root whose /etc/passwd has it]
    `);
    await expect(resolve('node:wheel')).rejects.toThrowErrorMatchingInlineSnapshot(`
      [ImageError: group "wheel" is not in the container's /etc/group
        hint: give a number instead, or use a root whose /etc/group has it]
    `);
    await expect(resolve('big')).rejects.toThrow('user "big" is not in');
  });

  it('is not troubled by a group file of 10^5 groups and lines without end', async () => {
    const many = Array.from({ length: 100_000 }, (_, i) => `g${i}:x:${i + 2000}:node`).join('\n');
    const found = await resolve('node', `${'x'.repeat(900_000)}\n${PASSWD}`, many);
    expect(found.groups).toHaveLength(65_536);
  });
});
