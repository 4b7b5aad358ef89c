// Pulling over native threads: the store hands blobs on as they come, and what it publishes is the same as over JavaScript.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { layerSink, openLayerWriter, pipelineDecompressors } from '@ctr/overlayfs';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ImageLayer, ImageStore, type LayerBlob, type LayerSink, type PullOptions, type PullProgress } from '../src/index.js';
import { type FakeImage, FakeRegistry, putImage, tarOf } from './support/fake-registry.js';
import { NATIVE_SINKS, nativeLayers, userxattr } from './support/native-sink.js';

const options: PullOptions = { auth: false, retry: { attempts: 2, baseDelayMs: 1 } };

/** Says which blobs the sink took, and which came as tar bytes. */
function watched(sink: LayerSink): LayerSink & { blobs: LayerBlob[]; tars: number } {
  const seen = {
    ...sink,
    blobs: [] as LayerBlob[],
    tars: 0,
    open: (directory: string) => {
      seen.tars++;
      return sink.open(directory);
    },
    openBlob: async (directory: string, blob: LayerBlob) => {
      const writer = await sink.openBlob?.(directory, blob);
      if (writer !== undefined) seen.blobs.push(blob);
      return writer;
    },
  };
  return seen;
}

const filesOf = (directory: string): string =>
  execFileSync('sh', ['-c', 'find . -printf "%P %y %m %s %l\\n" | sort; find . -type f -exec sha256sum {} + | sort'], {
    cwd: directory,
    encoding: 'utf8',
  });

describe.skipIf(!nativeLayers.ok)(nativeLayers.title('layers over native threads'), () => {
  let registry: FakeRegistry;
  let image: FakeImage;
  let reference: string;

  beforeAll(async () => {
    registry = await FakeRegistry.start();
    const tars = [
      await tarOf([{ type: 'file', path: 'base', content: randomBytes(3_000_000) }]),
      await tarOf([
        { type: 'directory', path: 'd', mode: 0o750 },
        { type: 'file', path: 'd/f', content: 'x'.repeat(9_000_000), mode: 0o640 },
        { type: 'hardlink', path: 'd/h', target: 'd/f' },
        { type: 'symlink', path: 's', target: '../d/f' },
      ]),
    ];
    image = await putImage(registry, 'app', { tars });
    reference = `${registry.host}/app`;
  });
  beforeEach(() => registry.reset());
  const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });
  const nothingUnfinished = (store: ImageStore): void => {
    for (const d of ['tmp', 'leases', 'lock']) expect(readdirSync(path.join(store.root, d))).toEqual([]);
  };

  it.each(NATIVE_SINKS)('%s: blobs go to the sink, and the layers are those that tar bytes make', async (_, native) => {
    const sink = watched(native);
    const store = await newStore();
    const progress: PullProgress[] = [];
    const pulled = await store.pull(reference, { ...options, sink, onProgress: (p) => progress.push(p) });
    const layers = await store.unpack(pulled, sink);
    expect(sink).toMatchObject({ tars: 0, blobs: [{ compression: 'gzip' }, { compression: 'gzip' }] });
    expect(new Set(sink.blobs.map((b) => b.digest))).toEqual(new Set(image.layers.map((l) => l.digest)));
    for (const { digest } of image.layers) {
      expect(progress.filter((p) => p.type === 'unpack' && p.digest === digest).length).toBeGreaterThan(0);
      expect(existsSync(path.join(store.root, 'blobs', digest.replace(':', '/')))).toBe(true);
    }
    const plain: LayerSink = {
      open: (d) => openLayerWriter(d, native.form === 'erofs' ? { form: 'erofs', userxattr: false } : { userxattr, sync: false }),
    };
    const other = await newStore();
    const expected = await other.unpack(await other.pull(reference, { ...options, sink: plain }), plain);
    expect(layers.map(filesOf)).toEqual(expected.map(filesOf));
    nothingUnfinished(store);
    expect(await store.verify()).toMatchObject({ damaged: [], incomplete: [] });
  });

  it('a blob of the store is unpacked the same way', async () => {
    const store = await newStore();
    const pulled = await store.pull(reference, options);
    const sink = watched(NATIVE_SINKS[1]?.[1] as LayerSink);
    expect(await store.unpack(pulled, sink)).toHaveLength(2);
    expect(sink).toMatchObject({ tars: 0, blobs: { length: 2 } });
  });

  it.each(NATIVE_SINKS)('%s: what the sink cannot read comes as tar bytes', async (_, native) => {
    const sink = watched({ ...native, openBlob: () => undefined });
    const store = await newStore();
    await store.unpack(await store.pull(reference, { ...options, sink }), sink);
    expect(sink).toMatchObject({ tars: 2, blobs: [] });
  });

  it('says no to digests and compressions that the threads cannot do', () => {
    const sink = layerSink({ userxattr });
    const sha512 = `sha512:${'0'.repeat(128)}`;
    const digest = `sha256:${'0'.repeat(64)}`;
    const blob = { digest, diffId: digest, size: 1, compression: 'none', limits: { maxLayerBytes: 1, maxRatio: 1 } } as const;
    expect(sink.openBlob('/nowhere', { ...blob, digest: sha512 })).toBeUndefined();
    expect(sink.openBlob('/nowhere', { ...blob, diffId: sha512 })).toBeUndefined();
    if (pipelineDecompressors().zstd === undefined) expect(sink.openBlob('/nowhere', { ...blob, compression: 'zstd' })).toBeUndefined();
  });

  it.each(NATIVE_SINKS)('%s: bounds of the pull hold, and nothing stays', async (_, sink) => {
    const store = await newStore();
    await expect(store.pull(reference, { ...options, sink, limits: { maxLayerBytes: 1_000_000 } })).rejects.toMatchObject({
      code: 'CTR_IMAGE_LIMIT',
    });
    expect(readdirSync(path.join(store.root, 'layers/sha256'))).toEqual([]);
    nothingUnfinished(store);
  });

  it.each(NATIVE_SINKS)('%s: the signal stops threads and downloads at any time', async (_, sink) => {
    const bytes = image.layers.reduce((sum, l) => sum + l.bytes.length, 0);
    for (const share of [0, 0.3, 0.9]) {
      const store = await newStore();
      const stop = new AbortController();
      const seen = new Map<string, number>();
      const onProgress = (p: PullProgress): void => {
        if (p.type === 'resolve' && share === 0) stop.abort();
        if (p.type === 'download') seen.set(p.digest, p.bytes);
        if ([...seen.values()].reduce((a, b) => a + b, 0) > bytes * share) stop.abort();
      };
      await expect(store.pull(reference, { ...options, sink, signal: stop.signal, onProgress })).rejects.toMatchObject({
        code: 'ABORT_ERR',
      });
      nothingUnfinished(store);
      expect(await store.verify()).toMatchObject({ damaged: [], incomplete: [] });
      // What was stopped can be begun anew.
      expect(await store.unpack(await store.pull(reference, { ...options, sink }), sink)).toHaveLength(2);
    }
  });

  it('an abort in any moment of two downloads ends the pull, and nothing else', async () => {
    for (let i = 0; i < 30; i++) {
      const stop = new AbortController();
      let moments = 0;
      const onProgress = (p: PullProgress): void => void (p.type === 'download' && moments++ >= i % 12 && stop.abort());
      const pull = (await newStore()).pull(reference, {
        ...options,
        sink: NATIVE_SINKS[1]?.[1] as LayerSink,
        signal: stop.signal,
        onProgress,
      });
      // A socket that breaks while nobody listens would end this process: that, too, fails the test.
      const end = await pull.then(
        () => 'pulled',
        (e: { code: string }) => e.code,
      );
      // How many moments there are is the network's affair; the first is always one.
      expect(end).toBeOneOf(i % 12 === 0 ? ['ABORT_ERR'] : ['ABORT_ERR', 'pulled']);
    }
  });

  it.each(NATIVE_SINKS)('%s: damage that came with the blob is told from damage on its way', async (_, sink) => {
    const good = image.layers[1] as FakeImage['layers'][number];
    const damaged = Buffer.from(good.bytes);
    damaged.fill(0xff, 2000, 2100);
    const made = registry.put('blobs', 'broken', damaged);
    await putImage(registry, 'broken', {
      tars: [image.tars[1] as Buffer],
      manifest: (m) => ({ ...m, layers: [{ ...(m['layers'] as object[])[0], digest: made.digest, size: damaged.length }] }),
    });
    const store = await newStore();
    await expect(store.pull(`${registry.host}/broken`, { ...options, sink })).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
    registry.handler = (req, res) => {
      if (req.url?.includes(good.digest) !== true) return false;
      res.end(damaged);
      return true;
    };
    await expect(store.pull(reference, { ...options, sink })).rejects.toMatchObject({
      code: 'CTR_IMAGE_DIGEST_MISMATCH',
      digest: good.digest,
    });
    nothingUnfinished(store);
  });

  it('eight pulls at once share their work', async () => {
    const sink = watched(NATIVE_SINKS[1]?.[1] as LayerSink);
    const store = await newStore();
    const all = await Promise.all(Array.from({ length: 8 }, () => store.pull(reference, { ...options, sink })));
    expect(new Set(all.map((i) => i.digest)).size).toBe(1);
    expect(sink.blobs).toHaveLength(2);
  });
});

host.define('zstd program', { test: () => execFileSync('zstd', ['--version']).length > 0, cure: 'apt-get install zstd' });
const z = need('linux', 'zstd program');
describe.skipIf(!z.ok || !nativeLayers.ok)(z.title('zstd layers over native threads'), () => {
  it('are read natively where libzstd is, else in JavaScript', async () => {
    const registry = await FakeRegistry.start();
    const tar = await tarOf([{ type: 'file', path: 'f', content: 'zstd '.repeat(500_000) }]);
    const packed = registry.put('blobs', 'z', execFileSync('zstd', ['-c'], { input: tar }));
    await putImage(registry, 'z', {
      tars: [tar],
      manifest: (m) => ({
        ...m,
        layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd', digest: packed.digest, size: packed.bytes.length }],
      }),
    });
    const sink = watched(NATIVE_SINKS[1]?.[1] as LayerSink);
    const store = await ImageStore.open({ root: makeTempDir('store') });
    const image = await store.pull(`${registry.host}/z`, { ...options, sink });
    expect((image.layers[0] as ImageLayer).size).toBe(packed.bytes.length);
    const native = pipelineDecompressors().zstd !== undefined;
    expect(sink).toMatchObject({ tars: native ? 0 : 1, blobs: { length: native ? 1 : 0 } });
    registry.stop();
  });
});
