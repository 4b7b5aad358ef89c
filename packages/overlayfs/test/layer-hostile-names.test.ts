// Layers that try to leave their directory, by names and by links. Case numbers are those of the project's security study (group L).
import { lstatSync, mkdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { openLayerWriter, removeTree } from '../src/index.js';
import { archive, dir, file, hardlink, header, long, pax, symlink } from './tar-builder.js';
import { Canary, isRoot, names, refusal, tree, unpack } from './trees.js';

const INVALID = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_INVALID' });
const LIMIT = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_LIMIT' });

describe('names that lead out (L-01, L-03, L-36)', () => {
  it.each(['../../canary/x', 'a/../../../canary/x', '..', 'a/..', 'a/../..', '../x', './..', '/..', 'a/b/../../../x'])(
    'refuses %j, also as a PAX path and a GNU long name',
    async (name) => {
      const canary = new Canary();
      for (const bytes of [
        archive(file(name)),
        archive(pax({ path: name }), file('x')),
        archive(long('L', name), file('x')),
        archive(dir(name)),
      ])
        expect(await refusal(bytes)).toEqual(INVALID);
      canary.assertUntouched();
    },
  );

  it('takes an absolute name as one below the root', async () => {
    const canary = new Canary();
    const { directory } = await unpack(archive(pax({ path: canary.secret }), file('x', 'inside')));
    expect(readFileSync(path.join(directory, canary.secret), 'utf8')).toBe('inside');
    canary.assertUntouched();
  });

  it.each(['.', './', '/', '//', './/.', '///'])(
    'leaves the root as it is for a directory entry %j, and refuses other kinds',
    async (name) => {
      const { directory, stats } = await unpack(archive(dir(name, { mode: 0o000, uid: 7, gid: 7 }), file('x')));
      expect(lstatSync(directory)).toMatchObject({ uid: process.getuid?.(), mode: 0o040755 });
      expect(stats.entries).toBe(2);
      for (const entry of [file(name), symlink(name, '/etc'), hardlink(name, 'x'), header({ name, type: '6' })])
        expect(await refusal(archive(file('x'), entry))).toEqual(INVALID);
    },
  );

  it('refuses an empty name', async () => {
    expect(await refusal(archive(file('')))).toMatchObject({ message: expect.stringContaining('it has no name') });
  });

  it('keeps names that are no text, byte for byte, and names that only look alike apart (L-08)', async () => {
    const bytes = Buffer.from([0xff, 0xfe, 0x80, 0x41]);
    const { directory } = await unpack(
      archive(file('x', '1', { name: bytes }), dir('A'), file('A/f'), symlink('a', '/tmp'), file('\u00e9'), file('e\u0301')),
    );
    expect(names(directory)).toEqual(expect.arrayContaining([bytes.toString('latin1'), 'A', 'A/f', 'a']));
    expect(names(directory)).toHaveLength(6);
  });

  it('takes a component of 255 bytes and refuses one of 256 (L-36)', async () => {
    const { directory } = await unpack(archive(pax({ path: 'n'.repeat(255) }), file('x')));
    expect(names(directory)).toEqual(['n'.repeat(255)]);
    expect(await refusal(archive(pax({ path: 'n'.repeat(256) }), file('x')))).toEqual(LIMIT);
  });

  it('takes a path of 4095 bytes and refuses one of 4096, and 5000 by either header', async () => {
    const of = (length: number): string =>
      `${'p'.repeat(199)}/`
        .repeat(Math.ceil(length / 200))
        .slice(0, length - 1)
        .concat('x');
    const { directory, stats } = await unpack(archive(pax({ path: of(4095) }), file('x')), { form: 'dir' });
    expect(stats.implicitDirectories).toBe(20);
    expect((await unpack(archive(pax({ path: of(4095) }), file('x')), { form: 'erofs' })).stats).toEqual(stats);
    expect(lstatSync(path.join(directory, `${'p'.repeat(199)}/`.repeat(15))).isDirectory()).toBe(true);
    // Node's own rm cannot: the whole path is longer than the kernel takes.
    await removeTree(directory);
    for (const length of [4096, 5000]) {
      expect(await refusal(archive(pax({ path: of(length) }), file('x')))).toEqual(LIMIT);
      expect(await refusal(archive(long('L', of(length)), file('x')))).toEqual(LIMIT);
    }
  });

  it('refuses 100,000 nested directories, quickly', async () => {
    expect(await refusal(archive(pax({ path: 'd/'.repeat(100_000) }), dir('x')))).toEqual(LIMIT);
    expect(await refusal(archive(pax({ path: 'd/'.repeat(513) }), dir('x')))).toMatchObject({ message: expect.stringContaining('deeper') });
    await unpack(archive(pax({ path: 'd/'.repeat(512) }), dir('x')));
  });
});

describe('links in the way (L-04 to L-07, L-09, L-18)', () => {
  it('refuses a link that would replace the root, in this layer and for the next (L-04)', async () => {
    const canary = new Canary();
    for (const name of ['.', '/', './.']) expect(await refusal(archive(symlink(name, canary.directory), file('x')))).toEqual(INVALID);
    canary.assertUntouched();
  });

  it('resolves a link to an absolute path inside of the root (L-05)', async () => {
    const canary = new Canary();
    const inside = canary.directory.slice(1);
    const { directory } = await unpack(archive(dir(`${inside}/`), symlink('d', canary.directory), file('d/x', 'inside')));
    expect(readFileSync(path.join(directory, inside, 'x'), 'utf8')).toBe('inside');
    expect(await refusal(archive(symlink('d', canary.directory), file('d/x')))).toEqual(INVALID);
    expect(await refusal(archive(symlink('d', '../../../../../../../..'), file('d/canary/../x')))).toEqual(INVALID);
    canary.assertUntouched();
  });

  it('is not led by links of another layer, which lies elsewhere (L-06)', async () => {
    const canary = new Canary();
    await unpack(archive(symlink('etc', canary.directory)));
    const { directory, stats } = await unpack(archive(file('etc/passwd', 'root'), file('etc/sub/dir/f', 'x')));
    expect(names(directory)).toEqual(['etc', 'etc/passwd', 'etc/sub', 'etc/sub/dir', 'etc/sub/dir/f']);
    expect(stats.implicitDirectories).toBe(3);
    canary.assertUntouched();
  });

  it('forgets a directory that was replaced by a link (L-07)', async () => {
    const canary = new Canary();
    const swapped = [dir('d'), file('d/a'), symlink('d', canary.directory)];
    expect(await refusal(archive(...swapped, file('d/b')))).toEqual(INVALID);
    const inside = canary.directory.slice(1);
    const { directory } = await unpack(
      archive(dir(`${inside}/`), ...swapped, file('d/b', 'inside'), dir('e'), file('e/a'), dir('d'), file('d/c')),
    );
    expect(readFileSync(path.join(directory, inside, 'b'), 'utf8')).toBe('inside');
    expect(names(path.join(directory, 'd'))).toEqual(['c']);
    canary.assertUntouched();
  });

  it('swaps a directory and a link many times without a slip', async () => {
    const canary = new Canary();
    const inside = canary.directory.slice(1);
    const rounds = Array.from({ length: 200 }, (_, i) => [dir('d'), file(`d/in${i}`), symlink('d', canary.directory), file(`d/out${i}`)]);
    const { directory } = await unpack(archive(dir(`${inside}/`), ...rounds.flat()));
    expect(names(path.join(directory, inside))).toHaveLength(200);
    canary.assertUntouched();
  });

  it("follows chains of links inside of the root up to the kernel's 40, and ends in an error beyond and for loops (L-09)", async () => {
    const chain = (n: number): Buffer[] => [
      dir('real'),
      ...Array.from({ length: n }, (_, i) => symlink(`l${i}`, i === 0 ? 'real' : `/l${i - 1}`)),
    ];
    const { directory } = await unpack(archive(...chain(5), file('l4/x')));
    expect(names(path.join(directory, 'real'))).toEqual(['x']);
    await unpack(archive(...chain(39), file('l38/x')));
    for (const n of [41, 1000]) expect(await refusal(archive(...chain(n), file(`l${n - 1}/x`)))).toEqual(INVALID);
    expect(await refusal(archive(symlink('a', 'b'), symlink('b', 'a'), file('a/x')))).toEqual(INVALID);
  });

  it('replaces a link by a directory instead of changing what it points to (L-18)', async () => {
    const canary = new Canary();
    const { directory } = await unpack(
      archive(symlink('d', canary.directory), dir('d', { mode: 0o777, uid: 1234, gid: 1234 }), file('d/x')),
    );
    expect(lstatSync(path.join(directory, 'd')).isDirectory()).toBe(true);
    expect(lstatSync(path.join(directory, 'd')).mode & 0o7777).toBe(0o777);
    for (const entry of [file('d', 'new'), hardlink('d', 'other'), header({ name: 'd', type: '6' }), symlink('d', 'elsewhere')])
      await unpack(archive(file('other'), symlink('d', canary.secret), entry));
    canary.assertUntouched();
  });

  it('lets a later entry replace an earlier one of any kind, with all below it', async () => {
    const make = [file('n', 'file'), symlink('n', 'target'), header({ name: 'n', type: '6' }), hardlink('n', 'other')];
    for (const first of [...make, Buffer.concat([dir('n'), dir('n/sub'), file('n/sub/f')])])
      for (const [i, second] of make.entries()) {
        const { directory } = await unpack(archive(file('other'), first, second));
        expect(tree(directory).get('n')?.kind, `kind ${i}`).toBe(['file', 'symlink', 'fifo', 'file'][i]);
        expect(names(directory).sort()).toEqual(['n', 'other']);
      }
  });
});

describe('hard links (L-11, L-15)', () => {
  it.each(['../../canary/secret', 'a/../../canary/secret', '', '.', '/', 'dir'])('refuses the target %j', async (target) => {
    const canary = new Canary();
    expect(await refusal(archive(dir('a'), dir('dir'), hardlink('x', target)))).toEqual(INVALID);
    canary.assertUntouched();
  });

  it('never links to a file of the host (L-11)', async () => {
    const canary = new Canary();
    for (const bytes of [
      archive(hardlink('x', canary.secret)),
      archive(symlink('d', canary.directory), hardlink('x', 'd/secret')),
      archive(pax({ linkpath: canary.secret }), hardlink('x', 'y')),
      archive(long('K', canary.secret), hardlink('x', 'y')),
    ])
      expect(await refusal(bytes)).toMatchObject({ code: 'CTR_IMAGE_INVALID', message: expect.stringContaining('does not have') });
    expect(statSync(canary.secret).nlink).toBe(1);
    canary.assertUntouched();
  });

  it('refuses one to a file of a lower layer by a typed error (L-15)', async () => {
    await unpack(archive(file('shared')));
    expect(await refusal(archive(hardlink('mine', 'shared')))).toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it('links to a link itself, takes a link to itself, and survives its target being removed', async () => {
    const { directory } = await unpack(
      archive(file('f', 'data'), symlink('s', 'f'), hardlink('h', 's'), hardlink('f', 'f'), hardlink('f2', 'f'), file('f', 'new')),
    );
    expect(tree(directory).get('h')).toMatchObject({ kind: 'symlink', content: 'f' });
    expect(readFileSync(path.join(directory, 'f2'), 'utf8')).toBe('data');
    expect(readFileSync(path.join(directory, 'f'), 'utf8')).toBe('new');
    expect(await refusal(archive(dir('d'), file('d/f'), hardlink('d', 'd/f')))).toEqual(INVALID);
  });
});

describe('the directory of a layer', () => {
  it('is never one with files of somebody in it, and these stay', async () => {
    const directory = makeTempDir('taken');
    writeFileSync(path.join(directory, 'mine'), 'x');
    const writer = openLayerWriter(directory, { userxattr: !isRoot });
    await expect(writer.write(archive(file('x')))).rejects.toMatchObject({ code: 'ENOTEMPTY' });
    await writer.abort();
    expect(names(directory)).toEqual(['mine']);
  });

  it('is no link', async () => {
    const canary = new Canary();
    const link = path.join(makeTempDir('link'), 'l');
    symlinkSync(canary.directory, link);
    await expect(openLayerWriter(link, { userxattr: !isRoot }).end()).rejects.toMatchObject({ syscall: 'open' });
    canary.assertUntouched();
  });

  it('is taken when it is there and empty, and reports what is missing when its parent is not there', async () => {
    const directory = makeTempDir('empty');
    const writer = openLayerWriter(directory, { userxattr: !isRoot });
    await writer.write(archive(file('x')));
    await writer.end();
    expect(names(directory)).toEqual(['x']);
    const gone = path.join(makeTempDir('gone'), 'a');
    mkdirSync(gone);
    rmSync(gone, { recursive: true });
    await expect(openLayerWriter(path.join(gone, 'b'), { userxattr: !isRoot }).write(archive(file('x')))).rejects.toMatchObject({
      code: 'ENOENT',
      message: expect.stringMatching(/^write the layer ".*": mkdir ".*": ENOENT/),
    });
  });
});
