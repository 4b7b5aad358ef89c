// The writer of @ctr/overlayfs as the sink: what was packed is on disk, whiteouts in overlay's own form, the root enterable by all.
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { gzipLayer, openLayerWriter, packDirectory } from '@ctr/overlayfs';
import { describe, expect, it } from 'vitest';
import { ImageStore, type LayerCompressor, type LayerSink, packTar } from '../src/index.js';
import { nativeLayers } from './support/native-sink.js';

const root = process.geteuid?.() === 0;
const sink: LayerSink = { open: (directory) => openLayerWriter(directory, { userxattr: !root }) };

describe.skipIf(!nativeLayers.ok)(nativeLayers.title('openLayerWriter as LayerSink'), () => {
  const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });

  it('makes the files of each layer', async () => {
    const store = await newStore();
    const image = await store.create({
      reference: 'localhost/app:1',
      layers: [
        packTar([
          { type: 'directory', path: 'etc', mode: 0o750 },
          { type: 'file', path: 'etc/passwd', content: 'root:x:0:0::/:/bin/sh\n' },
          { type: 'file', path: 'bin/tool', content: 'x'.repeat(700_000), mode: 0o4755 },
          { type: 'symlink', path: 'etc/link', target: '/etc/passwd' },
          { type: 'hardlink', path: 'etc/hard', target: 'etc/passwd' },
        ]),
        packTar([{ type: 'file', path: 'etc/.wh.link', content: '' }]),
      ],
      sink,
    });
    const [upper = '', lower = ''] = await store.unpack(image, sink);
    expect(readFileSync(path.join(lower, 'etc/passwd'), 'utf8')).toBe('root:x:0:0::/:/bin/sh\n');
    expect(statSync(path.join(lower, 'bin/tool'))).toMatchObject({ size: 700_000, mode: 0o104755 });
    expect(readlinkSync(path.join(lower, 'etc/link'))).toBe('/etc/passwd');
    expect(statSync(path.join(lower, 'etc/hard')).ino).toBe(statSync(path.join(lower, 'etc/passwd')).ino);
    expect(statSync(lower).mode & 0o777).toBe(0o755);
    if (root) expect(lstatSync(path.join(upper, 'etc/link'))).toMatchObject({ rdev: 0, mode: 0o020000 });
    await store.remove('localhost/app:1');
    expect(await store.gc()).toMatchObject({ layers: 2 });
  });

  it('gc removes directories that their owner may not write', async () => {
    const store = await newStore();
    const reference = 'localhost/app:1';
    const tar = packTar([
      { type: 'directory', path: 'ro', mode: 0o555 },
      { type: 'file', path: 'ro/a', content: '' },
      { type: 'directory', path: 'ro/none', mode: 0 },
      { type: 'file', path: 'ro/none/b', content: '' },
    ]);
    const image = await store.create({ reference, layers: [tar], sink });
    const [tree = ''] = await store.unpack(image, sink);
    expect(statSync(path.join(tree, 'ro')).mode & 0o777).toBe(0o555);
    await store.remove(reference);
    expect(await store.gc()).toMatchObject({ layers: 1 });
    expect(existsSync(tree)).toBe(false);
    expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
  });

  it('passes its refusals on, and nothing stays', async () => {
    const store = await newStore();
    const evil = async function* (): AsyncGenerator<Uint8Array> {
      for await (const chunk of packTar([{ type: 'file', path: 'xx/passwd', content: 'evil' }])) {
        const tar = Buffer.from(chunk);
        tar.write('..', 0);
        tar.fill(' ', 148, 156);
        const sum = tar.subarray(0, 512).reduce((a, b) => a + b, 0);
        tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
        yield tar;
      }
    };
    const image = await store.create({ reference: 'localhost/evil', layers: [evil()] });
    await expect(store.unpack(image, sink)).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID', message: expect.stringContaining('..') });
    expect(existsSync(path.join(store.root, 'layers', (image.layers[0]?.diffId ?? '').replace(':', '/')))).toBe(false);
  });

  it('imports a folder through packDirectory as it does by itself', async () => {
    const folder = makeTempDir('folder');
    mkdirSync(path.join(folder, 'a', 'n'.repeat(120)), { recursive: true, mode: 0o700 });
    for (let i = 0; i < 200; i++) writeFileSync(path.join(folder, 'a', `${i}`), 'x'.repeat(i * 700), { mode: i % 2 ? 0o600 : 0o755 });
    writeFileSync(path.join(folder, 'large-ü'), Buffer.alloc(3_000_000, 'large'));
    linkSync(path.join(folder, 'large-ü'), path.join(folder, 'z'));
    symlinkSync('t'.repeat(101), path.join(folder, 'link'));
    const store = await newStore();
    for (const same of [{}, { owner: { uid: 5, gid: 6_000_000 }, mtime: 7 }]) {
      const own = await store.import(folder, { reference: 'localhost/a', compression: 'none', ...same });
      const native = await store.import(folder, { reference: 'localhost/b', compression: 'none', pack: packDirectory, ...same });
      expect(native.digest).toBe(own.digest);
    }
    const reference = 'localhost/c';
    await expect(store.import(folder, { reference, pack: 7 as never })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    const failing = () => packDirectory('/nonexistent/x');
    await expect(store.import(folder, { reference, pack: failing })).rejects.toMatchObject({ code: 'ENOENT', path: '/nonexistent/x' });
  });

  it('commits through gzipLayer as it does by itself, but for the bytes of the blob', async () => {
    const store = await newStore();
    const base = await store.create({ reference: 'localhost/base', layers: [packTar([{ type: 'file', path: 'a', content: 'a' }])] });
    const changes = () => packTar([{ type: 'file', path: 'big', content: 'x'.repeat(2_000_000) }]);
    const own = await store.commit(base, { reference: 'localhost/own', changes: changes() });
    const quick = await store.commit(base, { reference: 'localhost/quick', changes: changes(), compressor: gzipLayer, sink });
    expect(quick.layers.map((l) => l.diffId)).toEqual(own.layers.map((l) => l.diffId));
    expect(quick.layers[1]?.mediaType).toBe(own.layers[1]?.mediaType);
    const [upper = ''] = await store.unpack(quick, sink);
    expect(statSync(path.join(upper, 'big')).size).toBe(2_000_000);
  });

  it('believes no compressor that says nothing useful, and cleans up behind one that fails', async () => {
    const store = await newStore();
    const layers = () => [packTar([{ type: 'file', path: 'a', content: 'a' }])];
    const reference = 'localhost/odd';
    const odd: LayerCompressor = (tar) => ({ ...gzipLayer(tar), facts: () => ({ diffId: '../../x' }) });
    await expect(store.create({ reference, layers: layers(), compressor: odd })).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
    const failing: LayerCompressor = () => ({
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error('broken')) }),
      facts: () => ({ diffId: '' }),
    });
    await expect(store.create({ reference, layers: layers(), compressor: failing })).rejects.toThrow('broken');
    expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
    await expect(store.create({ reference, layers: layers(), compressor: 7 as never })).rejects.toMatchObject({
      code: 'CTR_INVALID_ARGUMENT',
    });
  });
});
