// The store as other tools see it, and its own housekeeping: create, load, list, remove, gc, leases.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type CreateOptions, type Image, ImageStore, packTar, Repository, type TarEntry } from '../src/index.js';
import { skopeo } from './support/programs.js';
import { spooled, spoolSink } from './support/spool-sink.js';

const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });
const file = (name: string, content = name): TarEntry => ({ type: 'file', path: name, content });

const make = (store: ImageStore, reference: string, layers: TarEntry[][], more: Partial<CreateOptions> = {}): Promise<Image> =>
  store.create({ reference, layers: layers.map((entries) => packTar(entries)), ...more });

const names = (store: ImageStore): { blobs: string[]; layers: string[] } => ({
  blobs: readdirSync(path.join(store.root, 'blobs/sha256')).sort(),
  layers: readdirSync(path.join(store.root, 'layers/sha256')).sort(),
});

describe('create', () => {
  it('gives the same digests for the same content, in any store', async () => {
    const config = {
      Env: ['A=b'],
      Cmd: ['x'],
      User: '1:2',
      WorkingDir: '/w',
      StopSignal: 'SIGINT',
      Volumes: ['/v'],
      ExposedPorts: ['80/tcp'],
      Labels: { l: 'm' },
    };
    const [one, two] = await Promise.all(
      [newStore(), newStore()].map(async (s) => make(await s, 'localhost/a', [[file('a')], [file('b')]], { config })),
    );
    expect(one).toEqual(two);
    expect(one).toMatchObject({ reference: 'localhost/a:latest', config, created: '1970-01-01T00:00:00Z' });
    expect(one?.layers).toHaveLength(2);
  });

  it('unpacks in the same pass, and leaves the blobs plain when asked to', async () => {
    const store = await newStore();
    const sink = spoolSink();
    const image = await make(store, 'localhost/a', [[file('a')]], { sink, compression: 'none' });
    expect(image.layers[0]).toMatchObject({ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: image.layers[0]?.diffId });
    const [directory] = await store.unpack(image, spoolSink());
    expect(
      (await spooled(directory as string)).equals(
        readFileSync(path.join(store.root, 'blobs', (image.layers[0]?.digest ?? '').replace(':', '/'))),
      ),
    ).toBe(true);
    expect(sink).toMatchObject({ opened: 1, ended: 1 });
    // A second image of the same layer unpacks nothing new.
    await make(store, 'localhost/b', [[file('a')]], { sink });
    expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
  });

  it('removes everything when a layer fails', async () => {
    const store = await newStore();
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(100_000);
      throw new Error('the tar broke off');
    };
    const sink = spoolSink();
    await expect(store.create({ reference: 'localhost/a', layers: [broken()], sink })).rejects.toThrow('the tar broke off');
    const full = spoolSink(() => {
      throw Object.assign(new Error('full'), { code: 'ENOSPC' });
    });
    await expect(make(store, 'localhost/a', [[file('a')]], { sink: full })).rejects.toThrow('full');
    await expect(make(store, 'localhost/a', [[file('a')]], { signal: AbortSignal.abort('no') })).rejects.toMatchObject({
      name: 'AbortError',
    });
    expect(names(store)).toEqual({ blobs: [], layers: [] });
    for (const directory of ['tmp', 'leases']) expect(readdirSync(path.join(store.root, directory))).toEqual([]);
    expect(sink).toMatchObject({ opened: 1, ended: 0, aborted: 1 });
  });
});

describe('housekeeping', () => {
  it('finds, lists and removes by every spelling of a name', async () => {
    const store = await newStore();
    const image = await make(store, 'debian', [[file('a')]]);
    expect(await store.find('docker.io/library/debian:latest')).toEqual(image);
    expect((await store.list()).map((i) => i.reference)).toEqual(['docker.io/library/debian:latest']);
    expect(await store.find('debian:12')).toBeUndefined();
    expect(await store.find('debian', { platform: 'linux/s390x' })).toBeUndefined();
    expect(await store.remove('debian:latest')).toBe(true);
    expect(await store.remove('debian:latest')).toBe(false);
    expect(await store.find('debian')).toBeUndefined();
  });

  it('gc frees exactly what nothing uses', async () => {
    const store = await newStore();
    const sink = spoolSink();
    const one = await make(store, 'localhost/one', [[file('shared')], [file('one')]], { sink });
    const before = names(store);
    await make(store, 'localhost/two', [[file('shared')], [file('two')]], { sink });
    expect(await store.gc()).toEqual({ blobs: 0, layers: 0, blobBytes: 0 });
    await store.remove('localhost/two');
    expect(await store.gc()).toMatchObject({ blobs: 3, layers: 1 });
    expect(names(store)).toEqual(before);
    expect(await store.unpack(one, spoolSink())).toHaveLength(2);
    await store.remove('localhost/one');
    const lease = await store.lease(one);
    expect(await store.gc()).toMatchObject({ blobs: 0, layers: 0 });
    await lease.release();
    await lease.release();
    expect(await store.gc()).toMatchObject({ blobs: 4, layers: 2 });
    expect(names(store)).toEqual({ blobs: [], layers: [] });
    expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
  });

  it('gc does not take what a pull or create is about to name', async () => {
    const store = await newStore();
    let collected: unknown;
    const slow = async function* (): AsyncGenerator<Uint8Array> {
      yield* packTar([file('second')]);
      collected = await store.gc();
    };
    await store.create({ reference: 'localhost/a', layers: [packTar([file('first')]), slow()] });
    expect(collected).toEqual({ blobs: 0, layers: 0, blobBytes: 0 });
    expect(await store.list()).toHaveLength(1);
  });

  it('keeps entries of index.json that are not ours', async () => {
    const store = await newStore();
    const foreign = { mediaType: 'application/x', digest: 'blake3:00', size: 1, annotations: { a: 'b' }, extra: true };
    writeFileSync(path.join(store.root, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [foreign], annotations: { k: 'v' } }));
    await make(store, 'localhost/a', [[file('a')]]);
    const index = JSON.parse(readFileSync(path.join(store.root, 'index.json'), 'utf8'));
    expect(index).toMatchObject({
      schemaVersion: 2,
      annotations: { k: 'v' },
      manifests: [foreign, { annotations: { 'org.opencontainers.image.ref.name': 'localhost/a:latest' } }],
    });
    expect((await store.list()).map((i) => i.reference)).toEqual(['localhost/a:latest']);
  });

  it('updates index.json for many at one time', async () => {
    const store = await newStore();
    await Promise.all(Array.from({ length: 20 }, (_, i) => make(store, `localhost/a:${i}`, [[file('a', String(i))]])));
    expect(await store.list()).toHaveLength(20);
    await Promise.all(Array.from({ length: 19 }, (_, i) => store.remove(`localhost/a:${i}`)));
    expect((await store.list()).map((i) => i.reference)).toEqual(['localhost/a:19']);
  });

  it('gives one directory for a layer that occurs twice', async () => {
    const store = await newStore();
    const image = await make(store, 'localhost/a', [[file('a')], [file('b')], [file('a')]]);
    const directories = await store.unpack(image, spoolSink());
    const tree = (i: number): string => path.join(store.root, 'layers', (image.layers[i]?.diffId ?? '').replace(':', '/'), 'fs');
    expect(directories).toEqual([tree(2), tree(1)]);
  });
});

it('leaves out what a layer hides that is opaque as a whole', async () => {
  const store = await newStore();
  const image = await make(store, 'localhost/a', [[file('a')], [file('b')], [file('c')]]);
  const plain = spoolSink();
  const sink = {
    async open(directory: string) {
      const writer = await plain.open(directory);
      let opaqueRoot = false;
      const write = (chunk: Uint8Array): Promise<void> => {
        // The first byte of a tar is that of the first name.
        opaqueRoot ||= String.fromCharCode(chunk[0] as number) === 'b';
        return writer.write(chunk);
      };
      const end = async () => {
        await writer.end();
        return { opaqueRoot };
      };
      return { ...writer, write, end };
    },
  };
  const tree = (i: number): string => path.join(store.root, 'layers', (image.layers[i]?.diffId ?? '').replace(':', '/'), 'fs');
  expect(await store.unpack(image, sink)).toEqual([tree(2), tree(1)]);
  expect(await (await ImageStore.open({ root: store.root })).unpack(image, sink)).toEqual([tree(2), tree(1)]);
});

it('keeps forms of one layer apart, and collects both', async () => {
  const store = await newStore();
  const image = await make(store, 'localhost/a', [[file('a')]]);
  const sinks = [spoolSink(), { ...spoolSink(), form: 'userxattr' }];
  const [plain, other] = await Promise.all(sinks.map((sink) => store.unpack(image, sink)));
  expect(other).toEqual(plain?.map((directory) => directory.replace(/\/fs$/, '.userxattr/fs')));
  expect(names(store).layers).toHaveLength(2);
  await store.remove('localhost/a');
  expect(await store.gc()).toMatchObject({ layers: 2 });
});

it('gc takes nothing while a manifest cannot be trusted', async () => {
  const store = await newStore();
  const image = await make(store, 'localhost/a', [[file('a')]], { sink: spoolSink() });
  const before = names(store);
  writeFileSync(path.join(store.root, 'blobs', image.digest.replace(':', '/')), '{}');
  await expect(store.gc()).rejects.toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
  expect(names(store)).toEqual(before);
  await store.remove('localhost/a');
  expect(await store.gc()).toMatchObject({ blobs: 3, layers: 1 });
});

describe('options', () => {
  it.each<[string, (store: ImageStore) => Promise<unknown>]>([
    ['reference', (s) => s.pull('Not A Name')],
    ['options', (s) => s.pull('a', null as never)],
    ['options.polcy', (s) => s.pull('a', { polcy: 'always' } as never)],
    ['options.policy', (s) => s.pull('a', { policy: 'sometimes' } as never)],
    ['options.platform', (s) => s.pull('a', { platform: 'amd64' })],
    ['options.auth', (s) => s.pull('a', { auth: { username: 'a:b', password: 'c' } })],
    ['options.auth', (s) => s.pull('a', { auth: 'secret' } as never)],
    ['options.insecure', (s) => s.pull('a', { insecure: ['http://host'] })],
    ['options.trustedOrigins', (s) => s.pull('a', { trustedOrigins: ['https://host/path'] })],
    ['options.retry.attempts', (s) => s.pull('a', { retry: { attempts: 0 } })],
    ['options.retry.tries', (s) => s.pull('a', { retry: { tries: 1 } } as never)],
    ['options.limits.maxRatio', (s) => s.pull('a', { limits: { maxRatio: Number.NaN } })],
    ['options.idleTimeoutMs', (s) => s.pull('a', { idleTimeoutMs: -1 })],
    ['options.signal', (s) => s.pull('a', { signal: {} as never })],
    ['options.sink', (s) => s.pull('a', { sink: {} as never })],
    ['options.onProgress', (s) => s.pull('a', { onProgress: 5 as never })],
    ['options.__proto__', (s) => s.pull('a', JSON.parse('{"__proto__":{}}'))],
    ['options.platform', (s) => s.find('a', { platform: '' })],
    ['options.plattform', (s) => s.list({ plattform: 'x' } as never)],
    ['file', (s) => s.load('a\0b')],
    ['options.reference', (s) => s.load('x', { reference: 'A' })],
    ['options.reference', (s) => s.create({ reference: `a@sha256:${'0'.repeat(64)}`, layers: [] })],
    ['options.reference', (s) => s.create({ layers: [] } as never)],
    ['options.layers', (s) => s.create({ reference: 'a', layers: [5] as never })],
    ['options.layers', (s) => s.create({ reference: 'a' } as never)],
    ['options.config.Comand', (s) => s.create({ reference: 'a', layers: [], config: { Comand: ['x'] } as never })],
    ['options.config', (s) => s.create({ reference: 'a', layers: [], config: { Env: ['x'] } })],
    ['options.created', (s) => s.create({ reference: 'a', layers: [], created: 'now' })],
    ['options.compression', (s) => s.create({ reference: 'a', layers: [], compression: 'xz' as never })],
    ['image', (s) => s.unpack({} as never, spoolSink())],
    [
      'image',
      async (s) =>
        s.unpack(
          {
            ...(await make(await newStore(), 'localhost/a', [])),
            layers: [{ digest: 'sha256:../x', diffId: '../../x', size: 1, mediaType: '' }],
          } as never,
          spoolSink(),
        ),
    ],
    ['image', (s) => s.lease(null as never)],
    ['sink', async (s) => s.unpack(await make(await newStore(), 'localhost/a', []), {} as never)],
    ['sink.form', async (s) => s.unpack(await make(await newStore(), 'localhost/a', []), { ...spoolSink(), form: '../x' })],
    ['options.root', () => ImageStore.open({ root: '' })],
    ['options.rot', () => ImageStore.open({ rot: 'x' } as never)],
  ])('%s is refused before anything is done', async (where, call) => {
    const store = await newStore();
    await expect(call(store)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: where });
    expect(names(store)).toEqual({ blobs: [], layers: [] });
  });

  it('names the right spelling', async () => {
    await expect((await newStore()).pull('a', { onprogres: 1 } as never)).rejects.toThrow('did you mean "onProgress"?');
  });
});

describe('load', () => {
  it('reads an OCI layout directory and archive, with names short and long', async () => {
    const from = await newStore();
    const image = await make(from, 'localhost/app:1', [[file('a')], [file('b')]], { config: { Cmd: ['x'] } });
    const short = path.join(makeTempDir('layout'), 'My Image');
    execFileSync('cp', ['-r', from.root, short]);
    const index = readFileSync(path.join(short, 'index.json'), 'utf8');
    writeFileSync(path.join(short, 'index.json'), index.replace('localhost/app:1', 'v1'));
    const to = await newStore();
    expect(await to.load(from.root)).toEqual([image]);
    expect(await to.load(short)).toEqual([{ ...image, reference: 'localhost/my-image:v1' }]);
    expect(await to.load(short, { reference: 'my/name:2' })).toEqual([{ ...image, reference: 'docker.io/my/name:2' }]);
    const tar = path.join(makeTempDir('archive'), 'image.tar');
    execFileSync('tar', ['-cf', tar, '-C', from.root, 'oci-layout', 'index.json', 'blobs']);
    for (const [name, bytes] of [
      ['image.tar.gz', zlib.gzipSync(readFileSync(tar))],
      ['plain.tar', readFileSync(tar)],
    ] as const) {
      const packed = path.join(path.dirname(tar), name);
      writeFileSync(packed, bytes);
      const store = await newStore();
      expect(await store.load(packed)).toEqual([image]);
      expect(await store.unpack(image, spoolSink())).toHaveLength(2);
      expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
    }
  });

  it('reads what "docker save" wrote before version 25: layers by symlink, gzip around it', async () => {
    const from = await newStore();
    const image = await make(from, 'localhost/app:1', [[file('a')], [file('a')]], { compression: 'none', config: { Cmd: ['x'] } });
    const blob = (digest: string): Buffer => readFileSync(path.join(from.root, 'blobs', digest.replace(':', '/')));
    const config = `${image.configDigest.slice(7)}.json`;
    const entries: TarEntry[] = [
      { type: 'file', path: 'one/layer.tar', content: blob(image.layers[0]?.digest as string) },
      { type: 'symlink', path: 'two/layer.tar', target: '../one/layer.tar' },
      { type: 'file', path: config, content: blob(image.configDigest) },
      {
        type: 'file',
        path: 'manifest.json',
        content: JSON.stringify([{ Config: config, RepoTags: ['app:1', 'example.com/x:2'], Layers: ['one/layer.tar', 'two/layer.tar'] }]),
      },
    ];
    const chunks: Uint8Array[] = [];
    for await (const chunk of packTar(entries)) chunks.push(chunk);
    const tar = path.join(makeTempDir('archive'), 'saved.tgz');
    writeFileSync(tar, zlib.gzipSync(Buffer.concat(chunks)));
    const store = await newStore();
    const loaded = await store.load(tar);
    expect(loaded.map((i) => i.reference)).toEqual(['docker.io/library/app:1', 'example.com/x:2']);
    for (const i of loaded) expect({ ...i, reference: image.reference, digest: image.digest, root: image.root }).toEqual(image);
    expect(await store.unpack(loaded[0] as Image, spoolSink())).toHaveLength(1);
    expect(await store.gc()).toMatchObject({ blobs: 0, layers: 0 });
  });

  it.each<[string, string, (dir: string, image: Image) => void]>([
    ['CTR_IMAGE_INVALID', 'holds nothing', (dir) => execFileSync('rm', [path.join(dir, 'index.json')])],
    ['CTR_IMAGE_NOT_FOUND', 'lacks its manifest', (dir, i) => execFileSync('rm', [path.join(dir, 'blobs', i.digest.replace(':', '/'))])],
    [
      'CTR_IMAGE_NOT_FOUND',
      'lacks a layer',
      (dir, i) => execFileSync('rm', [path.join(dir, 'blobs', (i.layers[0]?.digest ?? '').replace(':', '/'))]),
    ],
    [
      'CTR_IMAGE_DIGEST_MISMATCH',
      'has a changed config',
      (dir, i) => writeFileSync(path.join(dir, 'blobs', i.configDigest.replace(':', '/')), '{}'),
    ],
    [
      'CTR_IMAGE_DIGEST_MISMATCH',
      'has a changed layer',
      (dir, i) => writeFileSync(path.join(dir, 'blobs', (i.layers[0]?.digest ?? '').replace(':', '/')), 'x'),
    ],
    [
      'CTR_IMAGE_INVALID',
      'has a bad name',
      (dir) =>
        writeFileSync(
          path.join(dir, 'index.json'),
          readFileSync(path.join(dir, 'index.json'), 'utf8').replace('localhost/app:1', 'Bad/Name'),
        ),
    ],
    ['CTR_IMAGE_INVALID', 'has another version', (dir) => writeFileSync(path.join(dir, 'oci-layout'), '{"imageLayoutVersion":"9"}')],
    ['CTR_IMAGE_INVALID', 'is not JSON', (dir) => writeFileSync(path.join(dir, 'index.json'), 'x')],
    ['EINVAL', 'has a FIFO', (dir) => execFileSync('sh', ['-c', 'rm "$1"; mkfifo "$1"', 'sh', path.join(dir, 'index.json')])],
  ])('%s for a layout that %s, and nothing stays', async (code, _, damage) => {
    const from = await newStore();
    const image = await make(from, 'localhost/app:1', [[file('a')]]);
    damage(from.root, image);
    const store = await newStore();
    await expect(store.load(from.root)).rejects.toMatchObject({ code });
    expect(await store.list()).toEqual([]);
    for (const directory of ['tmp', 'leases']) expect(readdirSync(path.join(store.root, directory))).toEqual([]);
    await store.gc();
    expect(names(store)).toEqual({ blobs: [], layers: [] });
  });

  it('says what it could not open', async () => {
    await expect((await newStore()).load('/nonexistent/image.tar')).rejects.toMatchObject({
      code: 'ENOENT',
      syscall: 'stat',
      message: expect.stringContaining('open the saved image'),
    });
  });
});

const n = need('skopeo');
describe.skipIf(!n.ok)(n.title('with skopeo and umoci'), () => {
  let store: ImageStore;
  let image: Image;

  beforeAll(async () => {
    store = await newStore();
    image = await make(store, 'localhost/app:1', [[{ type: 'directory', path: 'etc' }, file('etc/a')], [file('etc/b')]], {
      config: { Cmd: ['x'], Labels: { who: 'us' } },
    });
  });

  it('skopeo inspects and copies our store', () => {
    const seen = JSON.parse(skopeo('inspect', `oci:${store.root}:localhost/app:1`));
    expect(seen).toMatchObject({ Digest: image.digest, Labels: { who: 'us' }, Os: 'linux', Layers: image.layers.map((l) => l.digest) });
    const dir = makeTempDir('copy');
    skopeo('copy', `oci:${store.root}:localhost/app:1`, `dir:${dir}/out`);
    expect(JSON.parse(readFileSync(path.join(dir, 'out/manifest.json'), 'utf8')).config.digest).toBe(image.configDigest);
  });

  it.each(['docker-archive', 'oci-archive', 'oci'])('we load what skopeo writes as %s', async (form) => {
    const out = path.join(makeTempDir('saved'), 'image');
    skopeo('copy', `oci:${store.root}:localhost/app:1`, `${form}:${out}:example.com/app:2`);
    const to = await newStore();
    const [loaded] = await to.load(out);
    expect(loaded).toMatchObject({ reference: 'example.com/app:2', config: image.config, configDigest: image.configDigest });
    expect(loaded?.layers.map((l) => l.diffId)).toEqual(image.layers.map((l) => l.diffId));
    expect(await to.unpack(loaded as Image, spoolSink())).toHaveLength(2);
  });

  it('skopeo writes into our store, and we find it', async () => {
    const to = await newStore();
    await make(to, 'localhost/before', [[file('x')]]);
    skopeo('copy', `oci:${store.root}:localhost/app:1`, `oci:${to.root}:localhost/brought:1`);
    expect((await to.find('localhost/brought:1'))?.digest).toBe(image.digest);
    expect(await to.list()).toHaveLength(2);
  });

  const umoci = need('umoci', 'root');
  it.skipIf(!umoci.ok)(umoci.title('umoci unpacks our image to the files we packed'), () => {
    const work = makeTempDir('umoci');
    const layout = path.join(work, 'layout');
    mkdirSync(layout);
    // umoci takes everything in blobs/ for its own and wants tags without slashes.
    skopeo('copy', `oci:${store.root}:localhost/app:1`, `oci:${layout}:app`);
    execFileSync('umoci', ['unpack', '--image', `${layout}:app`, `${work}/bundle`], { stdio: 'ignore' });
    expect(['a', 'b'].map((f) => readFileSync(path.join(work, 'bundle/rootfs/etc', f), 'utf8'))).toEqual(['etc/a', 'etc/b']);
  });
});

describe('signals', () => {
  it('stop what works on the store alone', async () => {
    const root = makeTempDir('store');
    const store = await ImageStore.open({ root });
    const image = await store.create({ reference: 'localhost/a', layers: [packTar([file('a')])] });
    const signal = AbortSignal.abort(new Error('enough'));
    const stopped = { name: 'AbortError', code: 'ABORT_ERR' };
    await expect(ImageStore.open({ root, signal })).rejects.toMatchObject(stopped);
    await expect(store.gc({ signal })).rejects.toMatchObject(stopped);
    await expect(store.df({ signal })).rejects.toMatchObject(stopped);
    await expect(store.lease(image, { signal })).rejects.toMatchObject(stopped);
    await expect(Repository.open('localhost/a', { signal })).rejects.toMatchObject(stopped);
    expect(readdirSync(path.join(root, 'leases'))).toEqual([]);
    await expect(store.gc({ signal: 'now' } as never)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    // While it counts.
    const stop = new AbortController();
    const counting = store.df({ signal: stop.signal });
    stop.abort('later');
    await expect(counting).rejects.toMatchObject({ ...stopped, cause: 'later' });
    expect(await store.gc({ signal: new AbortController().signal })).toEqual({ blobs: 0, layers: 0, blobBytes: 0 });
  });
});
