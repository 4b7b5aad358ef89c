// The promise: what skopeo, docker and containerd push we pull, what we push and save they take; and umoci unpacks the same tree.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Image, ImageStore, packTar } from '@ctr/image';
import { host, leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRegistry as startPrivate, type TestRegistry } from '../packages/image/test/support/registry.js';
import { authConfig, certificate, type TokenServer, tokenServer } from '../packages/image/test/support/tls.js';
import { must } from './fixtures/command.js';
import { type Daemon, startContainerd, startDocker } from './fixtures/daemons.js';
import { makeOdd, SHAPES } from './fixtures/odd-images.js';
import { type Registry, startRegistry } from './fixtures/registry.js';

host.define('zstd', { test: () => execFileSync('zstd', ['--version']).length > 0, cure: 'apt-get install zstd' });
host.define('ctr', { test: () => host.program('ctr') !== '' && host.program('containerd') !== '', cure: 'apt-get install containerd' });
const n = need('linux', 'registry', 'skopeo');
const options = { auth: false as const };
const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });
const before = leakCheck();

/** Every entry: name, mode, owner, time to the second, content, target, and which others are the same file. */
function listing(root: string): string[] {
  const first = new Map<number, string>();
  const lines: string[] = [];
  const walk = (below: string): void => {
    for (const name of readdirSync(path.join(root, below)).sort()) {
      const relative = path.join(below, name);
      const s = lstatSync(path.join(root, relative));
      if (s.isFile() && !first.has(s.ino)) first.set(s.ino, relative);
      const content = s.isFile()
        ? createHash('sha256')
            .update(readFileSync(path.join(root, relative)))
            .digest('hex')
            .slice(0, 12)
        : s.isSymbolicLink()
          ? readlinkSync(path.join(root, relative))
          : '';
      const time = s.isDirectory() ? '' : Math.floor(s.mtimeMs / 1000);
      lines.push([relative, s.mode.toString(8), s.uid, s.gid, time, s.isFile() ? `${s.nlink} ${first.get(s.ino)}` : '', content].join(' '));
      if (s.isDirectory()) walk(relative);
    }
  };
  walk('');
  return lines;
}

/** The tree of an image by our own flattening, extracted by GNU tar. */
async function flattened(store: ImageStore, image: Image): Promise<string[]> {
  const dir = makeTempDir('flat');
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.flatten(image)) chunks.push(chunk);
  await must('tar', ['-xp', '--numeric-owner', '-C', dir], { input: Buffer.concat(chunks) });
  return listing(dir);
}

const policy = (): string => {
  const file = path.join(makeTempDir('policy'), 'policy.json');
  writeFileSync(file, '{"default":[{"type":"insecureAcceptAnything"}]}');
  return file;
};
const copy = (...args: string[]): Promise<string> => must('skopeo', ['--policy', policy(), 'copy', '--quiet', ...args]);

describe.skipIf(!n.ok)(n.title('images between us and others'), () => {
  let registry: Registry;
  beforeAll(async () => {
    registry = await startRegistry();
  });
  afterAll(async () => {
    await registry?.stop();
    await before.assertClean({ withinMs: 5000 });
  });

  const u = need('root', 'umoci');
  describe.skipIf(!u.ok)(u.title('of every shape'), () => {
    it.each(Object.keys(SHAPES))(
      '%s: pushed by us, fetched by skopeo, unpacked by umoci as we flatten it',
      async (shape) => {
        const store = await newStore();
        const name = `${registry.address}/odd/${shape.replaceAll(' ', '-')}:1`;
        const made = await makeOdd(store, shape, name);
        expect((await store.push(name, options)).digest).toBe(made.digest);
        const dir = makeTempDir('umoci');
        await copy('--src-tls-verify=false', `docker://${name}`, `oci:${dir}/layout:1`);
        await must('umoci', ['unpack', '--image', `${dir}/layout:1`, path.join(dir, 'bundle')]);
        const theirs = listing(path.join(dir, 'bundle/rootfs'));
        expect(await flattened(store, made)).toEqual(theirs);
        const back = await newStore();
        const pulled = await back.pull(name, options);
        expect(pulled.layers).toEqual(made.layers);
        expect(await flattened(back, pulled)).toEqual(theirs);
      },
      180_000,
    );
  });

  const z = need('zstd');
  it.skipIf(!z.ok)(
    z.title('zstd layers that skopeo pushed'),
    async () => {
      const store = await newStore();
      const made = await makeOdd(store, 'many files', 'localhost/z:1', 'none');
      const name = `${registry.address}/zstd:1`;
      // skopeo compresses only on the way to a folder, and takes over compressed blobs from there.
      const dir = makeTempDir('zstd');
      await store.save('localhost/z:1', path.join(dir, 'plain'), { format: 'directory' });
      await copy('--dest-compress', '--dest-compress-format', 'zstd', `oci:${dir}/plain:1`, `dir:${dir}/packed`);
      await copy('--dest-tls-verify=false', `dir:${dir}/packed`, `docker://${name}`);
      const back = await newStore();
      const pulled = await back.pull(name, options);
      expect(readFileSync(path.join(back.root, 'blobs/sha256', pulled.layers[0]?.digest.slice(7) as string)).readUInt32LE()).toBe(
        0xfd2fb528,
      );
      expect(pulled.layers.map((l) => l.diffId)).toEqual(made.layers.map((l) => l.diffId));
      expect(await flattened(back, pulled)).toEqual(await flattened(store, made));
    },
    180_000,
  );

  it('several platforms, by skopeo from registry to registry and back to us', async () => {
    const store = await newStore();
    const from = path.join(makeTempDir('multi'), 'layout');
    mkdirSync(from);
    const manifests = [];
    for (const platform of ['linux/amd64', 'linux/arm64']) {
      const reference = `localhost/${platform.slice(6)}:1`;
      const image = await store.create({ reference, platform, layers: [packTar([{ type: 'file', path: 'arch', content: platform }])] });
      await store.save(reference, from, { format: 'directory', platform });
      const size = readFileSync(path.join(store.root, 'blobs/sha256', image.digest.slice(7))).length;
      const [os, architecture] = platform.split('/');
      manifests.push({
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        digest: image.digest,
        size,
        platform: { os, architecture },
      });
    }
    const index = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }));
    const hex = createHash('sha256').update(index).digest('hex');
    writeFileSync(path.join(from, 'blobs/sha256', hex), index);
    const annotations = { 'org.opencontainers.image.ref.name': 'all' };
    const entry = { mediaType: 'application/vnd.oci.image.index.v1+json', digest: `sha256:${hex}`, size: index.length, annotations };
    writeFileSync(path.join(from, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: [entry] }));
    await copy('--all', '--dest-tls-verify=false', `oci:${from}:all`, `docker://${registry.direct}/multi:1`);
    const own = await newStore();
    await own.pull(`${registry.address}/multi:1`, { ...options, platform: 'linux/arm64', allPlatforms: true });
    const pushed = await own.push(`${registry.address}/multi:1`, {
      ...options,
      as: `${registry.address}/multi/copy:2`,
    });
    expect(pushed).toMatchObject({ digest: `sha256:${hex}`, mounted: 4 });
    await copy('--all', '--src-tls-verify=false', `docker://${registry.direct}/multi/copy:2`, `oci:${makeTempDir('back')}/l:1`);
  }, 120_000);

  const d = need('docker');
  describe.skipIf(!d.ok)(d.title('docker'), () => {
    let docker: Daemon;
    let store: ImageStore;
    beforeAll(async () => {
      docker = await startDocker([registry.direct]);
      store = await newStore();
    }, 120_000);
    afterAll(() => docker?.stop());

    it('pulls what we push, and loads what we save', async () => {
      const name = `${registry.direct}/for/docker:1`;
      const made = await makeOdd(store, 'many whiteouts', name);
      await store.push(name, options);
      await docker.client('pull', '-q', name);
      const inspect = async () => JSON.parse(await docker.client('inspect', name))[0];
      expect((await inspect()).RootFS.Layers).toEqual(made.layers.map((l) => l.diffId));
      expect((await inspect()).Id).toBe(made.configDigest);
      await docker.client('rmi', '-f', name);
      const file = path.join(makeTempDir('save'), 'image.tar');
      await store.save(name, file);
      expect(await docker.client('load', '-i', file)).toContain(name);
      expect((await inspect()).RootFS.Layers).toEqual(made.layers.map((l) => l.diffId));
    }, 180_000);

    it('pushes and saves what we pull and load, with the same files', async () => {
      const root = path.join(makeTempDir('import'), 'root.tar');
      const made = await makeOdd(store, 'many hard links', 'localhost/hard:1');
      writeFileSync(root, await collect(store.flatten(made)));
      const name = `${registry.direct}/from/docker:1`;
      await docker.client('import', '-c', 'CMD ["/x"]', root, name);
      await docker.client('push', '-q', name);
      const back = await newStore();
      const pulled = await back.pull(name, options);
      expect(pulled.config.Cmd).toEqual(['/x']);
      expect(await flattened(back, pulled)).toEqual(await flattened(store, made));
      const saved = path.join(path.dirname(root), 'saved.tar');
      await docker.client('save', '-o', saved, name);
      const [loaded] = await (await newStore()).load(saved);
      expect(loaded?.layers.map((l) => l.diffId)).toEqual(pulled.layers.map((l) => l.diffId));
    }, 180_000);
  });

  const c = need('root', 'ctr');
  describe.skipIf(!c.ok)(c.title('containerd'), () => {
    let containerd: Daemon;
    beforeAll(async () => {
      containerd = await startContainerd();
    }, 120_000);
    afterAll(() => containerd?.stop());

    it('pulls, imports, exports and pushes', async () => {
      const store = await newStore();
      const name = `${registry.direct}/for/containerd:1`;
      const made = await makeOdd(store, 'many whiteouts', name);
      await store.push(name, options);
      await containerd.client('images', 'pull', '--plain-http', '--snapshotter', 'native', name);
      expect(await containerd.client('images', 'ls')).toContain(made.digest);
      const dir = makeTempDir('ctr');
      await containerd.client('images', 'export', path.join(dir, 'theirs.tar'), name);
      const [loaded] = await (await newStore()).load(path.join(dir, 'theirs.tar'));
      expect(loaded).toMatchObject({ reference: name, digest: made.digest });
      await containerd.client('images', 'rm', name);
      await store.save(name, path.join(dir, 'ours.tar'));
      await containerd.client('images', 'import', '--snapshotter', 'native', path.join(dir, 'ours.tar'));
      expect(await containerd.client('images', 'ls')).toContain(`${name} `);
      const again = `${registry.direct}/from/containerd:1`;
      await containerd.client('images', 'push', '--plain-http', again, name);
      expect((await (await newStore()).pull(again, options)).digest).toBe(made.digest);
    }, 180_000);
  });

  const t = need('openssl');
  describe.skipIf(!t.ok)(t.title('a private registry with TLS and tokens'), () => {
    let own: TestRegistry;
    let tokens: TokenServer;
    let ca: string;
    let certificates: string;
    beforeAll(async () => {
      const tls = certificate(makeTempDir('tls'), 'localhost');
      tokens = await tokenServer(tls, (user, repository) => user === 'alice' || repository.startsWith('bob/'));
      own = await startPrivate(authConfig(tls, tokens));
      ca = readFileSync(tls.cert, 'utf8');
      certificates = makeTempDir('certs');
      writeFileSync(path.join(certificates, 'ca.crt'), ca);
    });
    afterAll(async () => {
      tokens?.stop();
      await own?.stop();
    });

    it('takes from us what skopeo takes from it, and the reverse', async () => {
      const how = { auth: { username: 'alice', password: 'wonderland' }, tls: { ca }, trustedOrigins: [tokens.origin] };
      const store = await newStore();
      const name = `${own.host}/team/app:1`;
      const made = await makeOdd(store, 'a hundred layers', name);
      expect(await store.push(name, how)).toMatchObject({ digest: made.digest, mounted: 0 });
      const dir = makeTempDir('skopeo');
      const creds = ['--src-creds=alice:wonderland', `--src-cert-dir=${certificates}`];
      await copy(...creds, `docker://${name}`, `oci:${dir}/l:1`);
      const to = `${own.host}/bob/app:1`;
      await copy('--dest-creds=bob:builder', `--dest-cert-dir=${certificates}`, `oci:${dir}/l:1`, `docker://${to}`);
      const back = await (await newStore()).pull(to, { ...how, auth: { username: 'bob', password: 'builder' } });
      expect(back.layers).toEqual(made.layers);
      await expect((await newStore()).pull(name, { ...how, auth: { username: 'bob', password: 'builder' } })).rejects.toMatchObject({
        code: 'CTR_IMAGE_AUTH',
      });
    }, 180_000);
  });
});

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
