// Pulls from the real docker-registry: what skopeo pushed there comes out byte for byte, once, and without a second request.
import { createHash, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Image, ImageStore, type PullOptions, type PullProgress, packTar } from '../src/index.js';
import { skopeo } from './support/programs.js';
import { startRegistry, type TestRegistry } from './support/registry.js';
import { spooled, spoolSink } from './support/spool-sink.js';

const n = need('registry', 'skopeo');
const options: PullOptions = { auth: false, retry: { attempts: 2, baseDelayMs: 1 } };

describe.skipIf(!n.ok)(n.title('pull from docker-registry'), () => {
  let registry: TestRegistry;
  let made: Image;
  const source = makeTempDir('source');
  const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });

  beforeAll(async () => {
    registry = await startRegistry();
    const store = await ImageStore.open({ root: source });
    made = await store.create({
      reference: 'localhost/app:1',
      layers: [
        packTar([
          { type: 'directory', path: 'bin' },
          { type: 'file', path: 'bin/random', content: randomBytes(3_000_000), mode: 0o755 },
          { type: 'file', path: 'bin/text', content: 'lorem ipsum '.repeat(100_000) },
        ]),
        packTar([{ type: 'file', path: 'bin/hello', content: 'hello\n' }]),
      ],
      config: { Env: ['PATH=/bin'], Cmd: ['/bin/hello'], WorkingDir: '/', Labels: { a: 'b' } },
    });
    skopeo('copy', '--dest-tls-verify=false', `oci:${source}:localhost/app:1`, `docker://${registry.host}/team/app:1`);
  });

  afterAll(() => registry.stop());

  it('brings config, layers and blobs as they were pushed', async () => {
    const store = await newStore();
    const sink = spoolSink();
    const events: PullProgress[] = [];
    const image = await store.pull(`${registry.host}/team/app:1`, { ...options, sink, onProgress: (p) => events.push(p) });
    expect(image).toEqual({ ...made, reference: `${registry.host}/team/app:1` });
    const directories = await store.unpack(image, sink);
    expect(directories).toHaveLength(2);
    expect(sink).toMatchObject({ opened: 2, ended: 2, aborted: 0 });
    for (const [i, directory] of directories.entries()) {
      const tar = await spooled(directory);
      expect(`sha256:${createHash('sha256').update(tar).digest('hex')}`).toBe(image.layers[1 - i]?.diffId);
      expect(statSync(directory).mode & 0o777).toBe(0o755);
    }
    expect(events[0]).toMatchObject({ type: 'resolve', digest: image.digest });
    expect(events.at(-1)).toEqual({ type: 'done', digest: image.digest, bytes: events[0]?.total, total: events[0]?.total });
    for (const layer of image.layers) {
      const mine = events.filter((e) => e.digest === layer.digest);
      expect(mine.filter((e) => e.type === 'download').at(-1)).toEqual({
        type: 'download',
        digest: layer.digest,
        bytes: layer.size,
        total: layer.size,
      });
      expect(mine.at(-1)).toEqual({ type: 'done', digest: layer.digest, bytes: layer.size, total: layer.size });
      expect(readFileSync(path.join(store.root, 'blobs', layer.digest.replace(':', '/')))).toHaveLength(layer.size);
    }
    for (const directory of ['tmp', 'leases', 'lock']) expect(readdirSync(path.join(store.root, directory))).toEqual([]);
    expect(statSync(store.root).mode & 0o777).toBe(0o700);
  });

  it('asks nothing when everything is there', async () => {
    const store = await newStore();
    const gone = await startRegistry();
    skopeo('copy', '--dest-tls-verify=false', `oci:${source}:localhost/app:1`, `docker://${gone.host}/app:1`);
    const image = await store.pull(`${gone.host}/app:1`, { ...options, sink: spoolSink() });
    await gone.stop();
    const sink = spoolSink();
    expect(await store.pull(`${gone.host}/app:1`, { ...options, sink })).toEqual(image);
    expect(await (await ImageStore.open({ root: store.root })).pull(`${gone.host}/app:1`, { ...options, sink, policy: 'never' })).toEqual(
      image,
    );
    expect(sink.opened).toBe(0);
    const error = await store.pull(`${gone.host}/app:1`, { ...options, policy: 'always' }).catch((e: Error) => e);
    expect(error).toMatchObject({
      code: 'CTR_IMAGE_REGISTRY',
      cause: { code: 'ECONNREFUSED', syscall: 'connect' },
      hint: expect.stringContaining('running'),
    });
  });

  it('unpacks from stored blobs without asking, and fetches only the blobs that are gone', async () => {
    const store = await newStore();
    const image = await store.pull(`${registry.host}/team/app:1`, options);
    const sink = spoolSink();
    await store.pull(`${registry.host}/team/app:1`, { ...options, policy: 'never', sink });
    expect(sink.ended).toBe(2);
    const [first] = image.layers;
    for (const name of [`blobs/${first?.digest}`, `layers/${first?.diffId}`])
      rmSync(path.join(store.root, name.replace(':', '/')), { recursive: true });
    await expect(store.unpack(image, sink)).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND', digest: first?.digest });
    const events: PullProgress[] = [];
    await store.pull(`${registry.host}/team/app:1`, { ...options, sink, onProgress: (p) => events.push(p) });
    expect(new Set(events.filter((e) => e.type === 'download').map((e) => e.digest))).toEqual(new Set([first?.digest]));
  });

  it('notices with the policy "always" that a tag has moved', async () => {
    const store = await newStore();
    const from = await ImageStore.open({ root: source });
    const push = async (text: string): Promise<Image> => {
      const image = await from.create({ reference: 'localhost/moving:1', layers: [packTar([{ type: 'file', path: 'v', content: text }])] });
      skopeo('copy', '--dest-tls-verify=false', `oci:${source}:localhost/moving:1`, `docker://${registry.host}/moving:1`);
      return image;
    };
    const reference = `${registry.host}/moving:1`;
    const one = await push('one');
    expect((await store.pull(reference, options)).digest).toBe(one.digest);
    const two = await push('two');
    expect((await store.pull(reference, options)).digest).toBe(one.digest);
    expect((await store.pull(reference, { ...options, policy: 'always' })).digest).toBe(two.digest);
    expect((await store.find(reference))?.digest).toBe(two.digest);
    expect((await store.pull(`${registry.host}/moving@${one.digest}`, options)).digest).toBe(one.digest);
    expect(await store.list()).toHaveLength(2);
  });

  it('does the work once for pulls at one time, and lets each caller leave', async () => {
    const store = await newStore();
    const again = await ImageStore.open({ root: store.root });
    const sink = spoolSink();
    const stop = new AbortController();
    const all = [store, again, store].map((s) => s.pull(`${registry.host}/team/app:1`, { ...options, sink }));
    const leaver = store.pull(`${registry.host}/team/app:1`, { ...options, sink, signal: stop.signal });
    stop.abort();
    await expect(leaver).rejects.toMatchObject({ name: 'AbortError' });
    const images = await Promise.all(all);
    expect(new Set(images.map((i) => i.digest)).size).toBe(1);
    expect(sink).toMatchObject({ opened: 2, ended: 2 });
  });

  it('shares layers between images at one time', async () => {
    skopeo('copy', '--dest-tls-verify=false', `oci:${source}:localhost/app:1`, `docker://${registry.host}/other/name:2`);
    const store = await newStore();
    const sink = spoolSink();
    await Promise.all(['team/app:1', 'other/name:2'].map((name) => store.pull(`${registry.host}/${name}`, { ...options, sink })));
    expect(sink.opened).toBe(2);
    expect(await store.list()).toHaveLength(2);
  });

  it('reads zstd layers and Docker’s manifests, with one layer directory for one content', async () => {
    const dir = makeTempDir('zstd');
    skopeo('copy', '--dest-compress', '--dest-compress-format', 'zstd', `oci:${source}:localhost/app:1`, `dir:${dir}/zstd`);
    skopeo('copy', '--dest-tls-verify=false', `dir:${dir}/zstd`, `docker://${registry.host}/zstd:1`);
    skopeo('copy', '--dest-tls-verify=false', '--format', 'v2s2', `oci:${source}:localhost/app:1`, `docker://${registry.host}/docker:1`);
    const store = await newStore();
    const sink = spoolSink();
    const zstd = await store.pull(`${registry.host}/zstd:1`, { ...options, sink });
    expect(zstd.layers.map((l) => l.diffId)).toEqual(made.layers.map((l) => l.diffId));
    expect(zstd.layers.map((l) => l.digest)).not.toEqual(made.layers.map((l) => l.digest));
    const docker = await store.pull(`${registry.host}/docker:1`, { ...options, sink });
    expect(docker).toMatchObject({ config: made.config, layers: docker.layers.map((l) => ({ mediaType: l.mediaType, diffId: l.diffId })) });
    expect(sink.opened).toBe(2);
  });

  it('says what is missing', async () => {
    const store = await newStore();
    await expect(store.pull(`${registry.host}/team/app:none`, options)).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND', status: 404 });
    await expect(store.pull(`${registry.host}/none`, options)).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
    await expect(store.pull(`${registry.host}/team/app:1`, { ...options, policy: 'never' })).rejects.toMatchObject({
      code: 'CTR_IMAGE_NOT_FOUND',
      hint: expect.stringContaining('pull it first'),
    });
    await expect(store.pull(`${registry.host}/team/app:1`, { ...options, platform: 'linux/s390x' })).rejects.toMatchObject({
      code: 'CTR_IMAGE_PLATFORM',
      message: expect.stringContaining(made.platform),
    });
    await expect(store.pull('127.0.0.1:1/x', options)).rejects.toMatchObject({
      code: 'CTR_IMAGE_REGISTRY',
      cause: { code: 'ECONNREFUSED' },
    });
    await expect(store.pull('registry.invalid/x', options)).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    expect(await store.list()).toEqual([]);
  });
});
