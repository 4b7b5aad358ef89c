// Archives that we write, read back by GNU tar and by our own list.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { ArchiveIndex } from './index-archive.js';
import { packTar, type TarEntry } from './pack.js';

const dir = makeTempDir('tar');

async function pack(entries: TarEntry[], name = 'a.tar'): Promise<string> {
  const file = path.join(dir, name);
  const chunks: Uint8Array[] = [];
  for await (const chunk of packTar(entries)) chunks.push(chunk);
  writeFileSync(file, Buffer.concat(chunks));
  return file;
}

const gnu = (...args: string[]): string =>
  execFileSync('tar', args, { encoding: 'utf8', env: { ...process.env, TZ: 'UTC', LC_ALL: 'C.UTF-8' } });

describe('packTar', () => {
  it('is read by GNU tar as it was meant', async () => {
    const long = `${'d'.repeat(120)}/${'e'.repeat(200)}/f`;
    const file = await pack([
      { type: 'directory', path: '/etc/', mode: 0o750, uid: 1, gid: 2, mtime: 86_400 },
      { type: 'file', path: 'etc/hello', content: 'hello\n', mode: 0o4755, uid: 3_000_000, gid: 4_000_000_000 },
      { type: 'file', path: './empty', content: '' },
      { type: 'symlink', path: 'etc/link', target: 'hello' },
      { type: 'symlink', path: 'long-link', target: 't'.repeat(150) },
      { type: 'hardlink', path: 'hard', target: 'etc/hello' },
      { type: 'file', path: long, content: 'x' },
      { type: 'file', path: 'ünïcode', content: 'y' },
    ]);
    expect(gnu('--full-time', '--numeric-owner', '-tvf', file).replace(/ +/g, ' ').trim().split('\n')).toEqual([
      'drwxr-x--- 1/2 0 1970-01-02 00:00:00 etc/',
      '-rwsr-xr-x 3000000/4000000000 6 1970-01-01 00:00:00 etc/hello',
      '-rw-r--r-- 0/0 0 1970-01-01 00:00:00 empty',
      'lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 etc/link -> hello',
      `lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 long-link -> ${'t'.repeat(150)}`,
      'hrw-r--r-- 0/0 0 1970-01-01 00:00:00 hard link to etc/hello',
      `-rw-r--r-- 0/0 1 1970-01-01 00:00:00 ${long}`,
      '-rw-r--r-- 0/0 1 1970-01-01 00:00:00 ünïcode',
    ]);
    expect(gnu('-xOf', file, long)).toBe('x');
  });

  it('streams files of the host with their permissions', async () => {
    const source = path.join(dir, 'source');
    writeFileSync(source, Buffer.alloc(1_000_001, 5), { mode: 0o700 });
    const file = await pack([
      { type: 'file', path: 'big', source },
      { type: 'file', path: 'after', source, mode: 0o600 },
    ]);
    expect(gnu('-tvf', file)).toMatch(/^-rwx------ .* 1000001 .* big\n-rw------- .* 1000001 .* after\n$/);
    expect(execFileSync('tar', ['-xOf', file, 'after'], { maxBuffer: 1 << 22 }).equals(readFileSync(source))).toBe(true);
  });

  it('writes the same bytes for the same entries, and whole blocks', async () => {
    const entries: TarEntry[] = [{ type: 'file', path: 'a', content: 'b' }];
    const [one, two] = [readFileSync(await pack(entries)), readFileSync(await pack(entries, 'b.tar'))];
    expect(one.equals(two)).toBe(true);
    expect(one.length).toBe(512 * 4);
  });

  it.each([98, 99, 100, 101, 102, 989, 990, 991, 992, 993])(
    'counts the length of a PAX record of a path of %d bytes right',
    async (length) => {
      const name = `${'n'.repeat(50)}/${'m'.repeat(length - 51)}`.replace(/(m{200})(?=m)/g, '$1/').slice(0, length);
      expect(gnu('-tf', await pack([{ type: 'file', path: name, content: '' }])).trim()).toBe(name.replace(/\/$/, ''));
    },
  );

  it.each<[string, unknown]>([
    ['entries[0].path', { type: 'file', path: '../x', content: '' }],
    ['entries[0].path', { type: 'file', path: 'a/../b', content: '' }],
    ['entries[0].path', { type: 'file', path: 'a\0b', content: '' }],
    ['entries[0].path', { type: 'file', path: '', content: '' }],
    ['entries[0].path', { type: 'file', content: '' }],
    ['entries[0].path', { type: 'directory', path: 'x'.repeat(5000) }],
    ['entries[0].type', { type: 'socket', path: 'a' }],
    ['entries[0].major', { type: 'character', path: 'a', major: -1, minor: 0 }],
    ['entries[0].target', { type: 'symlink', path: 'a', target: '' }],
    ['entries[0].target', { type: 'symlink', path: 'a', target: 'b\0' }],
    ['entries[0].target', { type: 'hardlink', path: 'a', target: '../b' }],
    ['entries[0].mode', { type: 'directory', path: 'a', mode: 0o10000 }],
    ['entries[0].uid', { type: 'directory', path: 'a', uid: -1 }],
    ['entries[0].gid', { type: 'directory', path: 'a', gid: 2 ** 32 }],
    ['entries[0].mtime', { type: 'directory', path: 'a', mtime: 1.5 }],
    ['entries[0].source', { type: 'file', path: 'a', source: '/' }],
  ])('refuses %s of %j', async (where, entry) => {
    await expect(pack([entry as TarEntry])).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: where });
  });

  it('says which file it could not read', async () => {
    await expect(pack([{ type: 'file', path: 'a', source: path.join(dir, 'absent') }])).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'open',
    });
  });

  it('notices a file that shrinks while it is read', async () => {
    const source = path.join(dir, 'shrinking');
    writeFileSync(source, Buffer.alloc(2_000_000));
    const read = async () => {
      for await (const _ of packTar([{ type: 'file', path: 'a', source }])) truncateSync(source, 1000);
    };
    await expect(read()).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });
});

describe('ArchiveIndex', () => {
  const list = async (file: string) => {
    const handle = await open(file);
    try {
      return await ArchiveIndex.read(handle, (await handle.stat()).size);
    } finally {
      await handle.close();
    }
  };

  it.each(['ustar', 'gnu', 'pax', 'v7', 'posix'])('finds members of GNU tar’s %s format', async (format) => {
    const source = path.join(dir, `tree-${format}`);
    const deep = format === 'v7' ? 'sub' : `${'l'.repeat(90)}/${'k'.repeat(50)}`;
    mkdirSync(path.join(source, deep), { recursive: true });
    writeFileSync(path.join(source, 'index.json'), 'one');
    writeFileSync(path.join(source, deep, 'two'), 'second');
    const file = path.join(dir, `${format}.tar`);
    gnu(`--format=${format}`, '-cf', file, '-C', source, '.');
    const index = await list(file);
    const place = index.find(`${deep}/two`);
    expect(place?.size).toBe(6);
    expect(readFileSync(file).toString('utf8', place?.offset, (place?.offset ?? 0) + 6)).toBe('second');
    expect(index.find('./index.json')?.size).toBe(3);
    expect(index.find('absent')).toBeUndefined();
  });

  it('follows links inside the archive, and none out of it or in circles', async () => {
    const file = await pack([
      { type: 'file', path: 'a/layer.tar', content: 'L' },
      { type: 'symlink', path: 'b/layer.tar', target: '../a/layer.tar' },
      { type: 'symlink', path: 'c', target: 'b/layer.tar' },
      { type: 'hardlink', path: 'd', target: 'a/layer.tar' },
      { type: 'symlink', path: 'out', target: '../../etc/passwd' },
      { type: 'symlink', path: 'loop', target: 'loop' },
      { type: 'directory', path: 'dir' },
    ]);
    const index = await list(file);
    expect(['a/layer.tar', 'b/layer.tar', 'c', 'd'].map((n) => index.find(n)?.size)).toEqual([1, 1, 1, 1]);
    expect(['out', 'loop', 'dir', '../a/layer.tar', '/etc/passwd'].map((n) => index.find(n))).toEqual(Array(5).fill(undefined));
  });

  it.each<[string, (tar: Buffer) => Buffer]>([
    ['a wrong checksum', (t) => Buffer.concat([t.subarray(0, 148), Buffer.from('0000000\0'), t.subarray(156)])],
    ['a body that is cut', (t) => t.subarray(0, 700)],
    ['a size that is no number', (t) => withSize(t, '99999999999\0')],
    ['a size beyond the end', (t) => withSize(t, '00000077777\0')],
    ['a negative base-256 size', (t) => withSize(t, Buffer.alloc(12, 0xff))],
    ['a base-256 size of 2^80', (t) => withSize(t, Buffer.from([0x80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))],
  ])('refuses %s', async (name, change) => {
    const file = path.join(dir, `${name}.tar`);
    writeFileSync(file, change(readFileSync(await pack([{ type: 'file', path: 'f', content: 'x'.repeat(600) }]))));
    await expect(list(file)).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it.each([
    '5 path=x\n',
    '99 path=x\n',
    '-9 path=x\n',
    'x path=x\n',
    '8 pathx\n\n',
    '9 path=x ',
    '012 path=xyz\n',
    '13 size=12x4\n',
    '10 path=\0\n',
  ])('refuses the PAX record %j', async (record) => {
    const body = Buffer.from(record);
    const file = path.join(dir, 'pax.tar');
    const tar = readFileSync(await pack([{ type: 'file', path: 'h', content: body }]));
    tar.write('x', 156, 'latin1');
    writeFileSync(file, withSize(tar, `${body.length.toString(8).padStart(11, '0')}\0`));
    await expect(list(file)).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });
});

function withSize(tar: Buffer, size: string | Buffer): Buffer {
  const copy = Buffer.from(tar);
  Buffer.from(size as string, 'latin1').copy(copy, 124);
  copy.fill(' ', 148, 156);
  const sum = copy.subarray(0, 512).reduce((a, b) => a + b, 0);
  copy.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return copy;
}
