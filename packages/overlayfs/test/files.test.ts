// Reading a file out of layers, and removing trees that resist.
import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { readFileInRoot, removeTree } from '../src/index.js';
import { harness, openTempDir } from './run-harness.js';
import { archive, dir, file, header, symlink } from './tar-builder.js';
import { Canary, isRoot, unpack } from './trees.js';

const layer = async (...parts: Buffer[]): Promise<string> => (await unpack(archive(...parts))).directory;
const read = async (layers: string[], name: string, maxBytes = 100): Promise<string | null> =>
  (await readFileInRoot(layers, name, { maxBytes }))?.toString() ?? null;

describe('readFileInRoot', () => {
  it('takes the file of the top layer that has it; null when none has', async () => {
    const top = await layer(dir('etc'), file('etc/a', 'top'));
    const base = await layer(dir('etc'), file('etc/a', 'base'), file('etc/b', 'base'));
    expect(await read([top, base], '/etc/a')).toBe('top');
    expect(await read([top, base], 'etc//./b')).toBe('base');
    expect(await read([top, base], 'etc/../etc/../../etc/b')).toBe('base');
    for (const missing of ['etc/c', 'nowhere/a', 'n'.repeat(300)]) expect(await read([top, base], missing)).toBeNull();
  });

  it('lets whiteouts, opaque directories and files of the way hide what is below', async () => {
    const base = await layer(
      dir('d'),
      file('d/f', 'base'),
      file('x', 'base'),
      dir('e'),
      file('e/f', 'base'),
      dir('w'),
      file('w/f', 'base'),
    );
    const top = await layer(file('.wh.x', ''), dir('d'), file('d/.wh..wh..opq', ''), file('e', 'a file now'), file('.wh.w', ''));
    expect(await read([base], 'x')).toBe('base');
    for (const hidden of ['x', 'd/f', 'w/f']) expect(await read([top, base], hidden), hidden).toBeNull();
    expect(await read([top, base], 'e')).toBe('a file now');
    await expect(read([top, base], 'e/f')).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it('follows links across layers and never out of them', async () => {
    const canary = new Canary();
    const top = await layer(
      dir('etc'),
      symlink('etc/passwd', '../usr/lib/passwd'),
      symlink('abs', '/usr/lib/passwd'),
      symlink('out', canary.secret),
      symlink('up', '../../../../../../../../../../etc/hostname'),
      symlink('loop', 'loop'),
    );
    const base = await layer(dir('usr'), symlink('usr/lib', 'lib64'), dir('usr/lib64'), file('usr/lib64/passwd', 'merged'));
    for (const name of ['etc/passwd', 'abs']) expect(await read([top, base], name)).toBe('merged');
    for (const name of ['out', 'up']) expect(await read([top, base], name)).toBeNull();
    await expect(read([top, base], 'loop')).rejects.toMatchObject({ name: 'ImageError', code: 'CTR_IMAGE_LIMIT' });
  });

  it('neither blocks on nor reads what is no regular file (L-28)', async () => {
    const entries = [
      header({ name: 'fifo', type: '6' }),
      dir('dir'),
      ...(isRoot ? [header({ name: 'zero', type: '3', major: 1, minor: 5 })] : []),
    ];
    const root = await layer(...entries);
    for (const name of ['fifo', 'dir', '.', '/', ...(isRoot ? ['zero'] : [])])
      await expect(read([root], name), name).rejects.toMatchObject({
        code: 'CTR_IMAGE_INVALID',
        message: expect.stringContaining('no regular file'),
      });
  });

  it('reads no more than it was told (L-47)', async () => {
    const root = await layer(file('ten', '0123456789'));
    expect(await read([root], 'ten', 10)).toBe('0123456789');
    await expect(read([root], 'ten', 9)).rejects.toMatchObject({
      code: 'CTR_IMAGE_LIMIT',
      message: 'read "ten" of the root: it is larger than the limit',
    });
  });

  it('says which layer is missing', async () => {
    await expect(read(['/nonexistent'], 'x')).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open', path: '/nonexistent' });
  });

  it('checks its arguments', async () => {
    await expect(readFileInRoot([], 'x', { maxBytes: 1 })).rejects.toThrow('layersTopFirst');
    await expect(readFileInRoot(['relative'], 'x', { maxBytes: 1 })).rejects.toThrow('layersTopFirst[0]');
    await expect(readFileInRoot(['/'], 'a\0b', { maxBytes: 1 })).rejects.toThrow('"path"');
    await expect(readFileInRoot(['/'], 'x', { maxByte: 1 } as never)).rejects.toThrow('did you mean "maxBytes"');
  });
});

describe('removeTree', () => {
  it('removes everything, follows no link, and does not mind a directory that is not there', async () => {
    const canary = new Canary();
    const tree = path.join(makeTempDir('remove'), 'tree');
    for (let i = 0; i < 50; i++) mkdirSync(path.join(tree, `d${i}`, 'sub', 'deep'), { recursive: true });
    for (let i = 0; i < 2000; i++) writeFileSync(path.join(tree, 'd0', `file-${i}`), '');
    symlinkSync(canary.directory, path.join(tree, 'link'));
    symlinkSync(canary.directory, path.join(tree, 'd1/sub/link'));
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
    await removeTree(tree);
    await removeTree('/nonexistent/parent/of/it');
    canary.assertUntouched();
  });

  it('refuses a link, a file, and paths that name no directory of their own', async () => {
    const canary = new Canary();
    const dirname = makeTempDir('refuse');
    symlinkSync(canary.directory, path.join(dirname, 'link'));
    await expect(removeTree(path.join(dirname, 'link'))).rejects.toMatchObject({ name: 'SyscallError' });
    await expect(removeTree(canary.secret)).rejects.toMatchObject({ code: 'ENOTDIR' });
    for (const bad of ['/', '//', '/.', '/..', '/tmp/..', '/tmp/.', 'relative', ''])
      await expect(removeTree(bad), bad).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    canary.assertUntouched();
  });

  it('removes a tree that is deeper than any path, with few descriptors', async () => {
    const tree = path.join(openTempDir('deep'), 'tree');
    mkdirSync(tree, { mode: 0o777 });
    chmodSync(tree, 0o777);
    expect((await harness('user', { op: 'deepen', directory: tree, levels: 2500 })).error).toBeUndefined();
    await removeTree(tree);
    expect(existsSync(tree)).toBe(false);
  });

  it('enters directories that their owner closed', async () => {
    const parent = openTempDir('closed');
    const tar = path.join(parent, 'a.tar');
    writeFileSync(
      tar,
      archive(dir('a', { mode: 0o000 }), dir('a/b', { mode: 0o555 }), file('a/b/f'), dir('c', { mode: 0o100 }), file('c/f')),
    );
    expect((await harness('user', { op: 'extract', tar, directory: path.join(parent, 'fs'), userxattr: true })).error).toBeUndefined();
    expect((await harness('user', { op: 'remove', directory: path.join(parent, 'fs') })).error).toBeUndefined();
    expect(readdirSync(parent)).toEqual(['a.tar']);
  });
});

const mounts = need('root');
describe.skipIf(!mounts.ok)(mounts.title('removeTree'), () => {
  it('does not cross a mount, and names it', async () => {
    const tree = path.join(makeTempDir('mount'), 'tree');
    mkdirSync(path.join(tree, 'a/point'), { recursive: true });
    const outside = makeTempDir('outside');
    writeFileSync(path.join(outside, 'stays'), 'x');
    const within = ['sh', '-c', `mount --bind ${outside} ${tree}/a/point && exec "$@"`, 'sh'];
    const { error } = await harness('root', { op: 'remove', directory: tree }, within);
    expect(error).toEqual({ code: expect.stringMatching(/^(EXDEV|EBUSY)$/), message: expect.stringContaining('/a/point') });
    expect(readdirSync(outside)).toEqual(['stays']);
  });
});
