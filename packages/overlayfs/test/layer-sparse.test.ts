// Sparse files as GNU tar packs them, in each of its formats: the same content, and holes stay holes.
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, truncateSync, writeSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { mountLayer, openLayerWriter } from '../src/index.js';
import { layersAsFiles } from './needs.js';
import { isRoot } from './trees.js';

const FORMATS = {
  'old GNU': ['--format=gnu'],
  'PAX 0.0': ['--format=posix', '--sparse-version=0.0'],
  'PAX 0.1': ['--format=posix', '--sparse-version=0.1'],
  'PAX 1.0': ['--format=posix', '--sparse-version=1.0'],
} as const;

const MEBI = 2 ** 20;
/** Where a file has content, and how long it is. */
const FILES: Record<string, { at: readonly number[]; size: number; bytes?: number }> = {
  'a hole at the end': { at: [0], size: 3 * MEBI },
  'a hole at the beginning': { at: [2 * MEBI], size: 2 * MEBI + 5, bytes: 5 },
  'holes alone': { at: [], size: 5 * MEBI },
  'an end inside a block': { at: [0, MEBI], size: MEBI + 4097, bytes: 4097 },
  // More than an old header holds, and more than a block that goes on with one.
  'many holes': { at: Array.from({ length: 60 }, (_, i) => i * 65_536), size: 60 * 65_536 },
};

const work = makeTempDir('sparse');
function make(): void {
  for (const [name, { at, size, bytes = 4096 }] of Object.entries(FILES)) {
    const file = openSync(path.join(work, name), 'w');
    at.forEach((offset, i) => {
      writeSync(file, Buffer.alloc(bytes, `${i} of ${name} `), 0, bytes, offset);
    });
    closeSync(file);
    truncateSync(path.join(work, name), size);
  }
}

async function write(form: 'dir' | 'erofs', options: readonly string[]): Promise<string> {
  const tar = execFileSync('tar', ['-cSf', '-', ...options, '-C', work, '.'], { maxBuffer: 64 * MEBI });
  expect(tar.length, 'it is a sparse archive').toBeLessThan(2 * MEBI);
  const directory = path.join(makeTempDir('layer'), 'l');
  await using writer = openLayerWriter(directory, { form, userxattr: form === 'dir' && !isRoot, sync: false });
  for (let at = 0; at < tar.length; at += 1000) await writer.write(tar.subarray(at, at + 1000));
  await writer.end();
  return directory;
}

function expectSame(root: string): void {
  for (const [name, { size }] of Object.entries(FILES)) {
    const found = path.join(root, name);
    expect(statSync(found).size, name).toBe(size);
    expect(readFileSync(found).equals(readFileSync(path.join(work, name))), name).toBe(true);
  }
}

const linux = need('linux');
describe.skipIf(!linux.ok)(linux.title('sparse files'), () => {
  beforeAll(make);

  it.each(Object.entries(FORMATS))('%s: as a tree, with their holes', async (_, options) => {
    const directory = await write('dir', options);
    expectSame(directory);
    // Blocks of 512 bytes: a hole takes none.
    expect(statSync(path.join(directory, 'holes alone')).blocks).toBe(0);
    expect(statSync(path.join(directory, 'a hole at the end')).blocks).toBeLessThan(100);
  });

  describe.skipIf(!layersAsFiles.ok)(layersAsFiles.title('as files'), () => {
    it.each(Object.entries(FORMATS))('%s: as the kernel shows them', async (_, options) => {
      const directory = await write('erofs', options);
      expect(statSync(path.join(directory, 'layer.erofs')).size).toBeLessThan(2 * MEBI);
      using mount = await mountLayer(directory);
      expectSame(`/proc/self/fd/${mount.fd}/`);
    });
  });
});
