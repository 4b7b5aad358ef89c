// Whiteouts and opaque directories in a layer. Case numbers are those of the project's security study (group L).
import { lstatSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { mountOverlay } from '../src/index.js';
import { mountsHere } from './needs.js';
import { archive, dir, file, hardlink, header, symlink } from './tar-builder.js';
import { Canary, isRoot, names, refusal, tree, unpack } from './trees.js';

const INVALID = expect.objectContaining({ name: 'ImageError', code: 'CTR_IMAGE_INVALID' });
const WHITEOUT = { kind: 'character', content: '0' };

describe('whiteout names (L-20)', () => {
  it('become devices 0:0 of the name that they hide', async () => {
    const { directory, stats } = await unpack(
      archive(file('.wh.x', ''), dir('d'), file('d/.wh.y', ''), file('d/.wh. z', ''), file('.wh.x', '')),
    );
    expect(names(directory)).toEqual(['d', 'd/ z', 'd/y', 'x']);
    for (const n of ['x', 'd/y', 'd/ z']) expect(tree(directory).get(n)).toMatchObject(WHITEOUT);
    expect(stats.entries).toBe(5);
  });

  it.each(['.wh.', '.wh..', '.wh...', '.wh.../x', '.wh.x/y', '.wh./y'])('refuses %j at the root and below', async (name) => {
    const parent = makeTempDir('parent');
    mkdirSync(path.join(parent, 'stays'));
    expect(await refusal(archive(file(name, '')))).toEqual(INVALID);
    expect(await refusal(archive(dir('d'), file(`d/${name}`, '')))).toEqual(INVALID);
  });

  it('leaves out what AUFS keeps for itself, counted', async () => {
    const { directory, stats } = await unpack(
      archive(
        file('.wh..wh.x', 'body'),
        dir('.wh..wh..plnk'),
        file('.wh..wh.plnk/1.2', 'body'),
        file('.wh..wh.aufs', ''),
        dir('d'),
        file('d/.wh..wh.orph', 'x'),
        file('f'),
      ),
    );
    expect(names(directory)).toEqual(['d', 'f']);
    expect(stats.auxiliarySkipped).toBe(5);
  });

  it('refuses whiteouts that are anything but empty files', async () => {
    for (const name of ['.wh.x', '.wh..wh..opq'])
      for (const entry of [file(name, 'content'), dir(name), symlink(name, 'x'), hardlink(name, 'f'), header({ name, type: '6' })])
        expect(await refusal(archive(file('f'), entry))).toEqual(INVALID);
  });

  it('refuses a device 0:0 under a plain name, and links to a whiteout (L-25)', async () => {
    expect(await refusal(archive(header({ name: 'x', type: '3', major: 0, minor: 0 })))).toEqual(INVALID);
    expect(await refusal(archive(file('.wh.x', ''), hardlink('y', 'x')))).toEqual(INVALID);
  });
});

describe('where whiteouts act (L-21, L-22)', () => {
  it('is inside of the root, also behind a link', async () => {
    const canary = new Canary();
    const inside = canary.directory.slice(1);
    for (const name of ['d/.wh.victim', 'd/.wh..wh..opq']) {
      expect(await refusal(archive(symlink('d', canary.directory), file(name, '')))).toEqual(INVALID);
      const { directory } = await unpack(archive(dir(`${inside}/`), symlink('d', canary.directory), file(name, '')));
      if (name.endsWith('victim')) expect(tree(directory).get(`${inside}/victim`)).toMatchObject(WHITEOUT);
    }
    canary.assertUntouched();
  });

  it('takes an opaque mark twice, and says when it is for the whole layer', async () => {
    expect((await unpack(archive(dir('d'), file('d/.wh..wh..opq', ''), file('d/.wh..wh..opq', '')))).stats.opaqueRoot).toBe(false);
    expect((await unpack(archive(file('.wh..wh..opq', ''), file('f')))).stats.opaqueRoot).toBe(true);
    expect((await unpack(archive(symlink('d', '/'), file('d/.wh..wh..opq', '')))).stats.opaqueRoot).toBe(true);
  });

  it('never hides what the same layer brings', async () => {
    const { directory } = await unpack(
      archive(file('f', 'mine'), file('.wh.f', ''), file('.wh.g', ''), file('g', 'mine'), file('.wh.d', ''), file('d/x', 'deep')),
    );
    expect([...tree(directory)].map(([name, i]) => [name, i.kind, i.content])).toEqual([
      ['d', 'directory', undefined],
      ['d/x', 'file', 'deep'],
      ['f', 'file', 'mine'],
      ['g', 'file', 'mine'],
    ]);
  });
});

describe.skipIf(!mountsHere.ok)(mountsHere.title('the merged view'), () => {
  const lower = archive(dir('d'), file('d/lower'), dir('e'), file('e/lower'), file('only-a-file'), dir('keep'), file('keep/lower'));
  const view = async (...parts: Buffer[]): Promise<string[]> => {
    const layers = [(await unpack(archive(...parts))).directory, (await unpack(lower)).directory];
    using mount = await mountOverlay({ lower: layers });
    return names(`/proc/self/fd/${mount.fd}`);
  };

  it('shows a new directory of a hidden name without the old content, in any order', async () => {
    const others = ['e', 'e/lower', 'keep', 'keep/lower', 'only-a-file'];
    expect(await view(file('.wh.d', ''), dir('d'), file('d/upper'))).toEqual(['d', 'd/upper', ...others]);
    expect(await view(dir('d'), file('d/upper'), file('.wh.d', ''))).toEqual(['d', 'd/upper', ...others]);
    expect(await view(file('.wh.d', ''), file('d/upper'))).toEqual(['d', 'd/upper', ...others]);
    expect(await view(dir('d'), file('d/.wh..wh..opq', ''), file('d/upper'))).toEqual(['d', 'd/upper', ...others]);
    expect(await view(file('d/.wh..wh..opq', ''))).toEqual(['d', ...others]);
  });

  it('hides only in the directory that was marked', async () => {
    expect(await view(dir('d'), symlink('l', 'd'), file('l/.wh..wh..opq', ''))).toEqual([
      'd',
      'e',
      'e/lower',
      'keep',
      'keep/lower',
      'l',
      'only-a-file',
    ]);
    expect(await view(file('only-a-file/.wh..wh..opq', ''))).toContain('only-a-file');
  });
});

it('whiteouts need no privilege', async () => {
  const { directory } = await unpack(archive(file('.wh.x', '')), { userxattr: true });
  expect(lstatSync(path.join(directory, 'x')).rdev).toBe(0);
  expect(lstatSync(path.join(directory, 'x')).uid).toBe(isRoot ? 0 : process.getuid?.());
});
