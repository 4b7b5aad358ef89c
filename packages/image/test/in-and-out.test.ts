// Saving, importing, committing and flattening, with skopeo, umoci and GNU tar as judges of what came of it.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { digestOf } from '../src/digest.js';
import { directoryEntries, type Image, ImageStore, packTar, type SkippedEntry, type TarEntry } from '../src/index.js';
import { FakeRegistry, putImage, putIndex, reply, type Stored, tarOf } from './support/fake-registry.js';
import { skopeo } from './support/programs.js';

const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });
const dirs = (...names: string[]): TarEntry[] => names.map((name) => ({ type: 'directory', path: name }));
const file = (name: string, content = name): TarEntry => ({ type: 'file', path: name, content });

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

async function twoLayers(store: ImageStore, reference = 'localhost/app:1'): Promise<Image> {
  const layers = [
    packTar([...dirs('bin', 'etc'), file('bin/one'), file('etc/gone'), file('etc/kept')]),
    packTar([...dirs('etc'), file('etc/.wh.gone', ''), file('two')]),
  ];
  return store.create({ reference, layers, config: { Cmd: ['/bin/one'], Env: ['A=1'] }, annotations: { b: '2', a: '1' } });
}

/** Names, types, modes, owners, times, links and contents of a tree. */
function listing(root: string): string[] {
  const seen = new Map<number, string>();
  const lines: string[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(path.join(root, below)).sort()) {
      const relative = path.join(below, name);
      const full = path.join(root, relative);
      if (name.includes('\ufffd')) continue;
      const s = lstatSync(full);
      const content = s.isFile() ? digestOf(readFileSync(full)).slice(7, 19) : s.isSymbolicLink() ? readlinkSync(full) : '';
      const same = s.isFile() && s.nlink > 1 ? (seen.get(s.ino) ?? '(first)') : '';
      if (s.isFile() && !seen.has(s.ino)) seen.set(s.ino, relative);
      const time = s.isDirectory() ? '' : Math.floor(s.mtimeMs / 1000);
      lines.push(`${relative} ${s.mode.toString(8)} ${s.uid}:${s.gid} ${time} ${same} ${content}`);
      if (s.isDirectory()) walk(relative);
    }
  };
  walk('');
  return lines;
}

function extract(tar: Buffer): string {
  const dir = makeTempDir('extracted');
  execFileSync('tar', ['-xp', '--numeric-owner', '-C', dir], { input: tar, stdio: ['pipe', 'ignore', 'pipe'] });
  return dir;
}

const s = need('skopeo');
const u = need('root', 'umoci', 'skopeo');

describe('save', () => {
  it('gives the same bytes for the same images, and a store loads them again', async () => {
    const [one, two] = [await newStore(), await newStore()];
    for (const store of [one, two]) {
      await twoLayers(store);
      await store.create({ reference: 'localhost/other:2', layers: [packTar([file('x')])] });
    }
    const names = ['localhost/app:1', 'localhost/other:2'];
    const bytes = await collect(one.saveStream(names));
    expect(digestOf(await collect(two.saveStream(names)))).toBe(digestOf(bytes));
    const target = path.join(makeTempDir('saved'), 'images.tar');
    await one.save(names, target);
    expect(digestOf(readFileSync(target))).toBe(digestOf(bytes));
    expect(lstatSync(target).mode & 0o777).toBe(0o600);
    expect(readdirSync(path.dirname(target))).toEqual(['images.tar']);
    const fresh = await newStore();
    const loaded = await fresh.load(target);
    expect(loaded.map((i) => i.reference)).toEqual(names);
    expect(loaded[0]?.digest).toBe((await one.find(names[0] as string))?.digest);
    expect(loaded[0]?.annotations).toEqual({ a: '1', b: '2' });
  });

  it('writes what old docker reads, over the same blobs', async () => {
    const store = await newStore();
    const image = await twoLayers(store);
    const dir = extract(await collect(store.saveStream('localhost/app:1')));
    const [entry] = JSON.parse(readFileSync(path.join(dir, 'manifest.json'), 'utf8'));
    expect(entry.RepoTags).toEqual(['localhost/app:1']);
    expect(digestOf(readFileSync(path.join(dir, entry.Config)))).toBe(image.configDigest);
    const diffIds = entry.Layers.map((name: string) => digestOf(zlib.gunzipSync(readFileSync(path.join(dir, name)))));
    expect(diffIds).toEqual(image.layers.map((l) => l.diffId));
  });

  it('keeps all platforms when they are there', async () => {
    const registry = await FakeRegistry.start();
    const platforms = [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ];
    const entries = [];
    for (const platform of platforms)
      entries.push({ stored: (await putImage(registry, 'multi', { tag: platform.architecture, platform })).manifest, platform });
    const index = putIndex(registry, 'multi', entries);
    const name = `${registry.host}/multi`;
    const store = await newStore();
    await store.pull(name, { auth: false, platform: 'linux/amd64', allPlatforms: true });
    const target = path.join(makeTempDir('saved'), 'multi.tar');
    await store.save(name, target, { platform: 'linux/arm64' });
    await expect((await newStore()).load(target, { platform: 'linux/amd64' })).rejects.toMatchObject({ code: 'CTR_IMAGE_PLATFORM' });
    await store.save(name, target);
    for (const platform of ['linux/amd64', 'linux/arm64'])
      expect((await (await newStore()).load(target, { platform }))[0]?.root).toBe(index.digest);
  });

  it('an index with an attestation goes through a file to another registry as it is', async () => {
    const [from, to] = [await FakeRegistry.start(), await FakeRegistry.start()];
    const platforms = [
      { os: 'linux', architecture: 'amd64' },
      { os: 'linux', architecture: 'arm64' },
    ];
    const entries: { stored: Stored; platform: object }[] = [];
    for (const platform of platforms)
      entries.push({ stored: (await putImage(from, 'multi', { tag: platform.architecture, platform })).manifest, platform });
    // As BuildKit attaches them.
    const statement = from.put('blobs', 'multi', Buffer.from('{"predicate":{}}'));
    const attestation = await putImage(from, 'multi', {
      tag: 'attestation',
      platform: { os: 'unknown', architecture: 'unknown' },
      manifest: (m) => ({ ...m, layers: [{ mediaType: 'application/vnd.in-toto+json', digest: statement.digest, size: statement.size }] }),
    });
    entries.push({ stored: attestation.manifest, platform: { os: 'unknown', architecture: 'unknown' } });
    const index = putIndex(from, 'multi', entries);
    const name = `${from.host}/multi`;
    const platform = 'linux/amd64';
    const store = await newStore();
    await store.pull(name, { auth: false, platform, allPlatforms: true });
    const target = path.join(makeTempDir('saved'), 'multi.tar');
    await store.save(name, target, { allPlatforms: true });

    const sent = new Map<string, Buffer>();
    to.handler = async (req, res) => {
      if (req.method === 'HEAD') return reply(res, 404);
      if (req.method === 'POST') return reply(res, 202, '', { location: '/v2/copy/blobs/uploads/1' });
      if (req.method !== 'PUT') return false;
      const bytes = await collect(req);
      sent.set(digestOf(bytes), bytes);
      return reply(res, 201);
    };
    const there = await newStore();
    const [loaded] = await there.load(target, { platform, allPlatforms: true });
    expect(loaded?.root).toBe(index.digest);
    expect(await there.push(name, { as: `${to.host}/copy`, auth: false, allPlatforms: true })).toMatchObject({ digest: index.digest });
    expect(sent.get(index.digest)).toEqual(index.bytes);
    for (const { stored } of entries) expect(sent.get(stored.digest)).toEqual(stored.bytes);
    expect(sent.has(statement.digest)).toBe(true);
    // Without a word about platforms, too, whatever this machine is.
    const quiet = await newStore();
    await quiet.load(target);
    expect(await quiet.push(name, { as: `${to.host}/copy`, auth: false })).toMatchObject({ digest: index.digest });
    // One platform alone is one alone, and says so when all are asked for.
    const one = await newStore();
    await one.load(target, { platform });
    const lacking = { code: 'CTR_IMAGE_NOT_FOUND', hint: expect.stringContaining('allPlatforms') };
    await expect(one.push(name, { as: `${to.host}/copy`, auth: false, allPlatforms: true })).rejects.toMatchObject(lacking);
    await expect(one.save(name, `${target}.2`, { allPlatforms: true })).rejects.toMatchObject(lacking);
    await expect(one.push(name, { auth: false, allPlatforms: true, platform })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    // A file that was made of half of it.
    const half = path.join(makeTempDir('saved'), 'half');
    await store.save(name, half, { format: 'directory' });
    rmSync(path.join(half, 'blobs/sha256', (entries[1]?.stored.digest ?? '').slice(7)));
    await expect((await newStore()).load(half, { platform, allPlatforms: true })).rejects.toMatchObject(lacking);
    expect(await (await newStore()).load(half)).toHaveLength(1);
  });

  it('passes over what is no image, and says so', async () => {
    const store = await newStore();
    await twoLayers(store);
    const dir = path.join(makeTempDir('saved'), 'layout');
    await store.save('localhost/app:1', dir, { format: 'directory' });
    const put = (content: object): { digest: string; size: number } => {
      const bytes = Buffer.from(JSON.stringify(content));
      writeFileSync(path.join(dir, 'blobs/sha256', digestOf(bytes).slice(7)), bytes);
      return { digest: digestOf(bytes), size: bytes.length };
    };
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const config = { mediaType: 'application/vnd.cncf.helm.config.v1+json', ...put({ name: 'chart' }) };
    const chart = {
      mediaType,
      ...put({ schemaVersion: 2, mediaType, config, layers: [] }),
      annotations: { 'org.opencontainers.image.ref.name': 'chart' },
    };
    const odd = { mediaType: 'application/x.other', ...put({ other: true }) };
    const file = path.join(dir, 'index.json');
    const index = JSON.parse(readFileSync(file, 'utf8'));
    writeFileSync(file, JSON.stringify({ ...index, manifests: [chart, odd, ...index.manifests] }));
    const skipped: SkippedEntry[] = [];
    const loaded = await (await newStore()).load(dir, { onSkip: (entry) => skipped.push(entry) });
    expect(loaded.map((i) => i.reference)).toEqual(['localhost/app:1']);
    expect(skipped).toMatchObject([
      { name: 'chart', digest: chart.digest, reason: expect.stringContaining('helm') },
      { name: undefined, digest: odd.digest, mediaType: 'application/x.other' },
    ]);
    const warned = new Promise<Error & { code?: string }>((resolve) => process.once('warning', resolve));
    await (await newStore()).load(dir);
    expect(await warned).toMatchObject({ code: 'CTR_IMAGE_SKIPPED', message: expect.stringContaining('chart was not loaded') });
    writeFileSync(file, JSON.stringify({ ...index, manifests: [chart] }));
    await expect((await newStore()).load(dir)).rejects.toMatchObject({
      code: 'CTR_IMAGE_INVALID',
      message: expect.stringContaining('helm'),
    });
  });

  it('writes and adds to a layout folder, and refuses another one', async () => {
    const store = await newStore();
    await twoLayers(store);
    await store.create({ reference: 'localhost/other:2', layers: [packTar([file('x')])] });
    const dir = path.join(makeTempDir('saved'), 'layout');
    await store.save('localhost/app:1', dir, { format: 'directory' });
    await store.save('localhost/other:2', dir, { format: 'directory' });
    await store.save('localhost/app:1', dir, { format: 'directory' });
    const { manifests } = JSON.parse(readFileSync(path.join(dir, 'index.json'), 'utf8'));
    expect(manifests).toHaveLength(2);
    const loaded = await (await newStore()).load(dir);
    expect(loaded.map((i) => i.reference).sort()).toEqual(['localhost/app:1', 'localhost/other:2']);
    const foreign = makeTempDir('foreign');
    writeFileSync(path.join(foreign, 'precious'), 'x');
    await expect(store.save('localhost/app:1', foreign, { format: 'directory' })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });

  it('notices a blob that was changed, and leaves no half of a file', async () => {
    const store = await newStore();
    const image = await twoLayers(store);
    const blob = path.join(store.root, 'blobs/sha256', image.layers[0]?.digest.slice(7) as string);
    const bytes = readFileSync(blob);
    bytes[20] = (bytes[20] as number) ^ 1;
    writeFileSync(blob, bytes);
    const dir = makeTempDir('saved');
    await expect(store.save('localhost/app:1', path.join(dir, 'a.tar'))).rejects.toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
    await expect(store.save('localhost/app:1', path.join(dir, 'l'), { format: 'directory' })).rejects.toMatchObject({
      code: 'CTR_IMAGE_DIGEST_MISMATCH',
    });
    expect(readdirSync(dir)).toEqual(['l']);
    expect(readdirSync(path.join(dir, 'l', 'blobs/sha256')).some((n) => n.endsWith('.tmp'))).toBe(false);
  });

  it('says what is wrong', async () => {
    const store = await newStore();
    await expect(store.save('localhost/none', '/tmp/x')).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
    await expect(store.save([], '/tmp/x')).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    await expect(store.save('localhost/none', '/proc/none/x')).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it.skipIf(!s.ok)(s.title('skopeo reads all forms, and they are the same image'), async () => {
    const store = await newStore();
    const image = await twoLayers(store);
    const dir = makeTempDir('saved');
    const target = path.join(dir, 'a.tar');
    await store.save('localhost/app:1', target);
    await store.save('localhost/app:1', path.join(dir, 'layout'), { format: 'directory' });
    for (const from of [`oci-archive:${target}:1`, `oci:${dir}/layout:1`]) {
      const seen = JSON.parse(skopeo('inspect', from));
      expect(seen).toMatchObject({ Digest: image.digest, Layers: image.layers.map((l) => l.digest), Env: ['A=1'] });
    }
    const config = JSON.parse(skopeo('inspect', '--config', `docker-archive:${target}`));
    expect(config.rootfs.diff_ids).toEqual(image.layers.map((l) => l.diffId));
    skopeo('--insecure-policy', 'copy', `docker-archive:${target}`, `oci:${dir}/back:x`);
    expect((await (await newStore()).load(`${dir}/back`))[0]?.layers.map((l) => l.diffId)).toEqual(image.layers.map((l) => l.diffId));
  });
});

describe('import', () => {
  function tree(): string {
    const root = path.join(makeTempDir('tree'), 'root');
    mkdirSync(path.join(root, 'etc/deep'), { recursive: true });
    writeFileSync(path.join(root, 'etc/hello'), 'hello', { mode: 0o640 });
    linkSync(path.join(root, 'etc/hello'), path.join(root, 'linked'));
    symlinkSync('etc/hello', path.join(root, 'symbolic'));
    writeFileSync(path.join(root, 'setuid'), 'x');
    chmodSync(path.join(root, 'setuid'), 0o4755);
    writeFileSync(path.join(root, 'ünï'), 'y');
    execFileSync('mkfifo', [path.join(root, 'fifo')]);
    utimesSync(path.join(root, 'ünï'), 1_000_000, 1_000_000);
    return root;
  }

  it('takes a folder as it is', async () => {
    const root = tree();
    const store = await newStore();
    const image = await store.import(root, { reference: 'localhost/root:1', config: { Cmd: ['/x'] } });
    expect(image.config.Cmd).toEqual(['/x']);
    expect(listing(extract(await collect(store.flatten(image))))).toEqual(listing(root));
  });

  it('gives the same digest for the same files, whoever owns them and whenever they were made', async () => {
    const store = await newStore();
    const same = { owner: { uid: 0, gid: 0 }, mtime: 0 };
    const images = [];
    for (const name of ['a', 'b']) images.push(await store.import(tree(), { reference: `localhost/${name}`, ...same }));
    expect(images[0]?.digest).toBe(images[1]?.digest);
  });

  it.each(['none', 'gzip'])('takes a tar file (%s), and a stream', async (packing) => {
    const root = tree();
    const bytes = execFileSync('tar', ['-c', '-C', root, '.'], { maxBuffer: 1e8 });
    const packed = packing === 'gzip' ? zlib.gzipSync(bytes) : bytes;
    const source = path.join(makeTempDir('tar'), 'root.tar');
    writeFileSync(source, packed);
    const store = await newStore();
    const image = await store.import(source, { reference: 'localhost/tar:1' });
    expect(image.layers[0]?.diffId).toBe(digestOf(bytes));
    expect(listing(extract(await collect(store.flatten(image))))).toEqual(listing(root));
    const streamed = await store.import(
      (async function* () {
        yield packed;
      })(),
      { reference: 'localhost/tar:2' },
    );
    expect(streamed.digest).toBe(image.digest);
  });

  it('says what is wrong', async () => {
    const store = await newStore();
    const reference = 'localhost/x';
    await expect(store.import('/none', { reference })).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(store.import('/dev/null', { reference })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    await expect(store.import(7 as unknown as string, { reference })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });

  const r = need('root');
  it.skipIf(!r.ok)(r.title('takes devices with their numbers'), async () => {
    const root = makeTempDir('devices');
    execFileSync('mknod', [path.join(root, 'c'), 'c', '1', '3']);
    execFileSync('mknod', [path.join(root, 'b'), 'b', '259', '70000']);
    const bytes = await collect(packTar(directoryEntries(root)));
    const list = execFileSync('tar', ['-tv'], { input: bytes, encoding: 'utf8' });
    expect(list).toMatch(/^brw.* 259,70000 .* b\ncrw.* 1,3 .* c\n$/);
  });
});

describe('commit', () => {
  it('adds a layer and leaves the rest as it was', async () => {
    const store = await newStore();
    const base = await twoLayers(store);
    const image = await store.commit(base, {
      reference: 'localhost/app:2',
      changes: packTar([file('three')]),
      config: { Cmd: null, Entrypoint: ['/three'], ExposedPorts: ['80/tcp'] },
      author: 'me',
      message: 'because',
      annotations: { x: 'y' },
    });
    expect(image.layers.slice(0, 2)).toEqual(base.layers);
    expect(image.layers).toHaveLength(3);
    expect(image.config).toEqual({ Env: ['A=1'], Entrypoint: ['/three'], ExposedPorts: ['80/tcp'] });
    expect(image.annotations).toEqual({ a: '1', b: '2', x: 'y' });
    const config = JSON.parse(readFileSync(path.join(store.root, 'blobs/sha256', image.configDigest.slice(7)), 'utf8'));
    expect(config.history).toHaveLength(3);
    expect(config.history[2]).toMatchObject({ author: 'me', comment: 'because' });
    expect(config.config.ExposedPorts).toEqual({ '80/tcp': {} });
    expect(listing(extract(await collect(store.flatten(image)))).map((l) => l.split(' ')[0])).toEqual([
      'bin',
      'bin/one',
      'etc',
      'etc/kept',
      'three',
      'two',
    ]);
  });

  it('edits a config alone, by fields or by a function, and keeps what it does not know', async () => {
    const registry = await FakeRegistry.start();
    await putImage(registry, 'odd', {
      config: (c) => ({
        ...c,
        author: 'them',
        'os.version': '7',
        container: 'abc',
        config: { Cmd: ['/a'], Healthcheck: { Test: ['NONE'] }, Shell: ['/bin/x'] },
        history: [{ created_by: 'before' }],
      }),
    });
    const store = await newStore();
    const base = await store.pull(`${registry.host}/odd`, { auth: false });
    const one = await store.commit(base.reference, { reference: 'localhost/one', config: { Env: ['X=1'] } });
    const two = await store.commit(base, { reference: 'localhost/two', config: (c) => ({ ...c, Env: [...(c.Env ?? []), 'X=1'] }) });
    expect(one.digest).toBe(two.digest);
    expect(one.layers).toEqual(base.layers);
    const config = JSON.parse(readFileSync(path.join(store.root, 'blobs/sha256', one.configDigest.slice(7)), 'utf8'));
    expect(config).toMatchObject({
      author: 'them',
      'os.version': '7',
      config: { Cmd: ['/a'], Env: ['X=1'], Healthcheck: { Test: ['NONE'] } },
    });
    expect(config.container).toBeUndefined();
    expect(config.history).toEqual([{ created_by: 'before' }, expect.objectContaining({ empty_layer: true })]);
  });

  it('loses nothing that Docker says of an image', async () => {
    const said = {
      Cmd: ['/a'],
      Healthcheck: { Test: ['CMD', '/a'], Interval: 30_000_000_000, Timeout: 1_000_000_000, StartPeriod: 5, StartInterval: 6, Retries: 3 },
      Shell: ['/bin/bash', '-c'],
      OnBuild: ['RUN true'],
      ArgsEscaped: true,
      StopTimeout: 30,
    };
    const registry = await FakeRegistry.start();
    const toc = { 'containerd.io/snapshot/stargz/toc.digest': digestOf('toc') };
    await putImage(registry, 'docker', {
      config: (c) => ({ ...c, config: said }),
      manifest: (m) => ({
        ...m,
        mediaType: 'application/vnd.docker.distribution.manifest.v2+json',
        config: { ...(m['config'] as object), mediaType: 'application/vnd.docker.container.image.v1+json' },
        layers: (m['layers'] as object[]).map((l) => ({
          ...l,
          mediaType: 'application/vnd.docker.image.rootfs.diff.tar.zstd',
          annotations: toc,
        })),
      }),
      manifestType: 'application/vnd.docker.distribution.manifest.v2+json',
    });
    const store = await newStore();
    const base = await store.pull(`${registry.host}/docker`, { auth: false });
    expect(base.config).toEqual(said);
    const reference = 'localhost/made';
    expect((await store.create({ reference, layers: [packTar([])], config: base.config })).config).toEqual(said);
    const without = await store.commit(base, { reference, config: { Healthcheck: null, StopTimeout: 5 } });
    const { Healthcheck: _, ...rest } = said;
    expect(without.config).toEqual({ ...rest, StopTimeout: 5 });
    const manifest = JSON.parse(readFileSync(path.join(store.root, 'blobs/sha256', without.digest.slice(7)), 'utf8'));
    expect(manifest.layers).toMatchObject([{ mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd', annotations: toc }]);
    for (const config of [{ Healthcheck: { Test: 'curl' } }, { Shell: '/bin/sh' }, { StopTimeout: '10s' }])
      await expect(store.commit(base, { reference, config } as never)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });

  it('refuses what no image can have, and leaves nothing', async () => {
    const store = await newStore();
    const base = await twoLayers(store);
    const before = readdirSync(path.join(store.root, 'blobs/sha256')).length;
    const reference = 'localhost/bad';
    const bad = [{ Envv: [] }, { Env: ['novalue'] }, { Cmd: 'text' }, 7, null].map((config) => ({ reference, config }));
    for (const options of [...bad, { reference, changes: 'x' }, { reference: 'a@sha256:x' }])
      await expect(store.commit(base, options as never)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    await expect(store.commit('localhost/none', { reference })).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(1024);
      throw new Error('the disk of the container is gone');
    }
    await expect(store.commit(base, { reference, changes: failing() })).rejects.toThrow('gone');
    expect(readdirSync(path.join(store.root, 'blobs/sha256'))).toHaveLength(before);
    expect(readdirSync(path.join(store.root, 'tmp'))).toEqual([]);
    expect(await store.find(reference)).toBeUndefined();
  });

  it.skipIf(!u.ok)(u.title('umoci unpacks what we commit to the same tree that we flatten'), async () => {
    const store = await newStore();
    await twoLayers(store);
    const image = await store.commit('localhost/app:1', {
      reference: 'localhost/app:2',
      changes: packTar([
        ...dirs('etc', 'new'),
        file('new/file'),
        { type: 'hardlink', path: 'new/hard', target: 'new/file' },
        file('bin/.wh..wh..opq', ''),
        { type: 'symlink', path: 'new/link', target: '../two' },
      ]),
    });
    const dir = makeTempDir('umoci');
    await store.save('localhost/app:2', path.join(dir, 'layout'), { format: 'directory' });
    execFileSync('umoci', ['unpack', '--image', `${dir}/layout:2`, path.join(dir, 'bundle')], { stdio: 'pipe' });
    const ours = listing(extract(await collect(store.flatten(image))));
    expect(ours).toEqual(listing(path.join(dir, 'bundle/rootfs')));
    expect(ours.some((l) => l.startsWith('bin/one'))).toBe(false);
  });
});

describe('flatten', () => {
  const names = (tar: Buffer): string[] => execFileSync('tar', ['-t'], { input: tar, encoding: 'utf8' }).trimEnd().split('\n');
  async function flat(...layers: TarEntry[][]): Promise<string> {
    const store = await newStore();
    const image = await store.create({ reference: 'localhost/f', layers: layers.map((l) => packTar(l)) });
    return extract(await collect(store.flatten(image)));
  }
  const paths = async (...layers: TarEntry[][]) => listing(await flat(...layers)).map((l) => l.split(' ')[0]);

  it('passes a single layer on byte for byte', async () => {
    const store = await newStore();
    const tar = await tarOf([...dirs('a'), file('a/b'), { type: 'hardlink', path: 'c', target: 'a/b' }]);
    const image = await store.create({
      reference: 'localhost/f',
      layers: [
        (async function* () {
          yield tar;
        })(),
      ],
    });
    const out = await collect(store.flatten(image));
    expect(names(out)).toEqual(['a/', 'a/b', 'c']);
    expect(digestOf(out)).toBe(digestOf(tar));
  });

  it('hides by whiteouts what lies below, never what is beside', async () => {
    expect(await paths([...dirs('d'), file('d/low')], [...dirs('d'), file('d/high'), file('d/.wh.low', '')])).toEqual(['d', 'd/high']);
    expect(await paths([...dirs('d'), file('d/low')], [file('d/.wh..wh..opq', ''), file('d/high')])).toEqual(['d', 'd/high']);
    expect(await paths([...dirs('d'), file('d/low')], [file('d/high'), file('d/.wh..wh..opq', '')])).toEqual(['d', 'd/high']);
    expect(await paths([...dirs('d', 'd/e'), file('d/e/f')], [file('.wh.d', '')], [file('d/again')])).toEqual(['d', 'd/again']);
    expect(await paths([file('x')], [file('.wh.x', '')], [file('x', 'new')])).toEqual(['x']);
  });

  it('L-20: whiteouts with odd names hide nothing', async () => {
    const odd = ['.wh.', '.wh..', '.wh...', '.wh..wh.x', '.wh..wh.plnk'].map((n) => file(n, ''));
    expect(await paths([file('x'), file('y')], odd)).toEqual(['x', 'y']);
  });

  it('lets a file take the place of a folder, and the reverse', async () => {
    expect(await paths([...dirs('a'), file('a/b')], [file('a')])).toEqual(['a']);
    expect(await paths([file('a')], [...dirs('a'), file('a/b')])).toEqual(['a', 'a/b']);
    expect(await paths([{ type: 'symlink', path: 'a', target: '/etc' }], [file('a/b')])).toEqual(['a', 'a/b']);
  });

  it('follows links within a layer, and never out of the tree', async () => {
    const dir = await flat([...dirs('usr', 'usr/bin'), { type: 'symlink', path: 'bin', target: 'usr/bin' }, file('bin/x')]);
    expect(readFileSync(path.join(dir, 'usr/bin/x'), 'utf8')).toBe('bin/x');
    expect(await paths([{ type: 'symlink', path: 'up', target: '../../..' }, file('up/x')])).toEqual(['up', 'x']);
    const store = await newStore();
    const image = await store.create({
      reference: 'localhost/l',
      layers: [packTar([{ type: 'symlink', path: 'a', target: 'b' }, { type: 'symlink', path: 'b', target: 'a' }, file('a/x')])],
    });
    await expect(collect(store.flatten(image))).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it('keeps hard links together, also when the first name is hidden', async () => {
    const linked: TarEntry[] = [
      file('first', 'content'),
      { type: 'hardlink', path: 'second', target: 'first' },
      { type: 'hardlink', path: 'third', target: 'second' },
    ];
    const all = await flat(linked);
    expect(lstatSync(path.join(all, 'third')).nlink).toBe(3);
    const rest = await flat(linked, [file('.wh.first', '')]);
    expect(readdirSync(rest).sort()).toEqual(['second', 'third']);
    expect(lstatSync(path.join(rest, 'second')).ino).toBe(lstatSync(path.join(rest, 'third')).ino);
    expect(readFileSync(path.join(rest, 'third'), 'utf8')).toBe('content');
    const replaced = await flat(linked, [file('first', 'another')]);
    expect(readFileSync(path.join(replaced, 'first'), 'utf8')).toBe('another');
    expect(readFileSync(path.join(replaced, 'second'), 'utf8')).toBe('content');
    const long = 'l'.repeat(180);
    const far = await flat([file('first', 'content'), { type: 'hardlink', path: `${long}/ü`, target: 'first' }], [file('.wh.first', '')]);
    expect(readFileSync(path.join(far, long, 'ü'), 'utf8')).toBe('content');
  });

  it('keeps what GNU tar can say: long and odd names, sparse files, attributes, times', async () => {
    const root = makeTempDir('gnu');
    writeFileSync(Buffer.from(`${root}/b\xffd`, 'latin1'), 'bytes');
    mkdirSync(path.join(root, 'x'.repeat(120)));
    writeFileSync(path.join(root, 'x'.repeat(120), 'y'.repeat(130)), 'deep');
    execFileSync('truncate', ['-s', '3000000', path.join(root, 'sparse')]);
    execFileSync('dd', ['if=/dev/urandom', `of=${root}/sparse`, 'bs=4096', 'seek=100', 'count=3', 'conv=notrunc'], { stdio: 'ignore' });
    for (const format of ['gnu', 'pax']) {
      const tar = execFileSync('tar', ['-cS', `--format=${format}`, '-C', root, '.'], { maxBuffer: 1e8 });
      const store = await newStore();
      const upper = packTar([file('.wh.nothing', ''), file('own')]);
      const image = await store.create({
        reference: 'localhost/g',
        layers: [
          (async function* () {
            yield tar;
          })(),
          upper,
        ],
      });
      const out = extract(await collect(store.flatten(image)));
      // Names are bytes; the listing knows text only.
      expect(readFileSync(Buffer.from(`${out}/b\xffd`, 'latin1'), 'utf8')).toBe('bytes');
      rmSync(Buffer.from(`${out}/b\xffd`, 'latin1'));
      const [theirs, ours] = [listing(root), listing(out)].map((l) => l.filter((line) => !/^(own|b\ufffd)/.test(line)));
      expect(ours).toEqual(theirs);
    }
  });

  it.each<[string, (tar: Buffer) => Buffer]>([
    ['is cut', (tar) => tar.subarray(0, 700)],
    ['has a wrong checksum', (tar) => Buffer.concat([tar.subarray(0, 3), Buffer.from('!'), tar.subarray(4)])],
  ])('refuses an archive that %s', async (_, spoil) => {
    const store = await newStore();
    const tar = spoil(await tarOf([file('abcdef', 'x'.repeat(2000))]));
    const image = await store.create({
      reference: 'localhost/b',
      layers: [
        (async function* () {
          yield tar;
        })(),
      ],
    });
    await expect(collect(store.flatten(image))).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it('notices a layer that was changed on disk', async () => {
    const store = await newStore();
    const image = await store.create({ reference: 'localhost/c', layers: [packTar([file('a', 'x'.repeat(5000))])], compression: 'none' });
    const blob = path.join(store.root, 'blobs/sha256', image.layers[0]?.digest.slice(7) as string);
    const bytes = readFileSync(blob);
    bytes[1000] = 0x21;
    writeFileSync(blob, bytes);
    await expect(collect(store.flatten(image))).rejects.toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
  });
});

describe('entries', () => {
  it('tells what a layer does', async () => {
    const store = await newStore();
    const image = await twoLayers(store);
    const [bottom, top] = image.layers;
    const list = async (layer: typeof bottom) => {
      const out = [];
      for await (const e of store.entries(layer as NonNullable<typeof layer>)) out.push(`${e.type} ${e.path} ${e.size}`);
      return out;
    };
    expect(await list(bottom)).toEqual(['directory bin 0', 'directory etc 0', 'file bin/one 7', 'file etc/gone 8', 'file etc/kept 8']);
    expect(await list(top)).toEqual(['directory etc 0', 'whiteout etc/gone 0', 'file two 3']);
    const stop = new AbortController();
    stop.abort();
    const reading = store.entries(bottom as NonNullable<typeof bottom>, { signal: stop.signal });
    await expect(reading.next()).rejects.toMatchObject({ name: 'AbortError' });
    expect(() => store.entries({ digest: '../x' } as never)).toThrow(expect.objectContaining({ code: 'CTR_INVALID_ARGUMENT' }));
  });
});
