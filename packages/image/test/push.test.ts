// Pushing to the real docker-registry, with skopeo as the judge, and to one that misbehaves.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { digestOf } from '../src/digest.js';
import { OCI_INDEX } from '../src/document/media-types.js';
import { type CtrError, ImageStore, type PullProgress, type PushOptions, packTar, Repository } from '../src/index.js';
import { FakeRegistry, putImage, putIndex, reply, tarOf } from './support/fake-registry.js';
import { skopeo } from './support/programs.js';
import { startRegistry, type TestRegistry } from './support/registry.js';
import { authConfig, certificate, type TokenServer, tokenServer } from './support/tls.js';

const options: PushOptions = { auth: false, retry: { attempts: 3, baseDelayMs: 1, maxDelayMs: 5 } };
const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });
const layer = (content: string | Buffer, path = 'file') => packTar([{ type: 'file', path, content }]);

const n = need('registry', 'skopeo', 'openssl');
describe.skipIf(!n.ok)(n.title('docker-registry'), () => {
  let registry: TestRegistry;
  let store: ImageStore;

  beforeAll(async () => {
    registry = await startRegistry();
    store = await newStore();
  });
  afterAll(() => registry.stop());

  it('takes an image, which skopeo and a fresh store read', async () => {
    const name = `${registry.host}/team/app:1`;
    const made = await store.create({ reference: name, layers: [layer('one'), layer('two', 'b')], config: { Cmd: ['/file'] } });
    const seen: PullProgress[] = [];
    const pushed = await store.push(name, { ...options, onProgress: (p) => seen.push(p) });
    expect(pushed).toMatchObject({ reference: name, digest: made.digest, uploaded: 3, mounted: 0, existing: 0 });
    expect(seen.at(-1)).toMatchObject({ type: 'done', digest: made.digest });
    expect(seen.some((p) => p.type === 'upload')).toBe(true);
    const inspected = JSON.parse(skopeo('inspect', '--tls-verify=false', `docker://${name}`));
    expect(inspected).toMatchObject({ Digest: made.digest, Layers: made.layers.map((l) => l.digest) });
    const back = await (await newStore()).pull(name, { auth: false });
    expect(back.digest).toBe(made.digest);
    expect(await store.push(name, options)).toMatchObject({ uploaded: 0, mounted: 0, existing: 3, bytes: 0 });
  });

  it('takes a large blob in pieces', async () => {
    const name = `${registry.host}/team/large:1`;
    const made = await store.create({ reference: name, layers: [layer(randomBytes(3_000_000))], compression: 'none' });
    expect(await store.push(name, { ...options, chunkBytes: 700_000 })).toMatchObject({ uploaded: 2, digest: made.digest });
    const back = await newStore();
    const image = await back.pull(name, { auth: false });
    expect(digestOf(readFileSync(path.join(back.root, 'blobs/sha256', image.layers[0]?.digest.slice(7) as string)))).toBe(
      made.layers[0]?.digest,
    );
  });

  it('gets the whole of a blob whose only request was cut off', async () => {
    const there = registry.host.split(':');
    let cuts = 0;
    const line = net.createServer((from) => {
      const to = net.connect(Number(there[1]), there[0]);
      let bytes = 0;
      from.on('data', (chunk) => {
        bytes += chunk.length;
        if (bytes < 4_000_000 || cuts > 0) return;
        cuts++;
        from.destroy();
        to.destroy();
      });
      for (const socket of [from, to]) socket.on('error', () => undefined);
      from.pipe(to).pipe(from);
    });
    await new Promise<void>((resolve) => line.listen(0, '127.0.0.1', resolve));
    const name = `127.0.0.1:${(line.address() as net.AddressInfo).port}/team/cut:1`;
    const made = await store.create({ reference: name, layers: [layer(randomBytes(9_000_000))], compression: 'none' });
    expect(await store.push(name, options)).toMatchObject({ uploaded: 2 });
    expect(cuts).toBe(1);
    line.close();
    expect((await (await newStore()).pull(`${registry.host}/team/cut:1`, { auth: false })).digest).toBe(made.digest);
  });

  it('is spared what it has in another repository', async () => {
    const base = `${registry.host}/mount/base:1`;
    await store.create({ reference: base, layers: [layer('the base')] });
    await store.push(base, options);
    const app = `${registry.host}/mount/app:1`;
    await store.create({ reference: app, layers: [layer('the base'), layer('the app', 'app')] });
    expect(await store.push(app, options)).toMatchObject({ mounted: 1, uploaded: 2 });
    // From a store that knows nothing of the base.
    const other = await newStore();
    await other.create({ reference: 'localhost/x', layers: [layer('the base'), layer('another', 'app')] });
    const as = `${registry.host}/mount/third:1`;
    expect(await other.push('localhost/x', { ...options, as, mountFrom: ['mount/base'] })).toMatchObject({ mounted: 1, uploaded: 2 });
    expect((await (await newStore()).pull(as, { auth: false })).layers).toHaveLength(2);
  });

  it('takes images of several platforms as a whole, or one of them', async () => {
    const there = await FakeRegistry.start();
    const amd = await putImage(there, 'multi', { tag: 'amd', platform: { os: 'linux', architecture: 'amd64' } });
    const arm = await putImage(there, 'multi', { tag: 'arm', platform: { os: 'linux', architecture: 'arm64' }, tars: [await tarOf([])] });
    const index = putIndex(there, 'multi', [
      { stored: amd.manifest, platform: { os: 'linux', architecture: 'amd64' } },
      { stored: arm.manifest, platform: { os: 'linux', architecture: 'arm64' } },
    ]);
    const name = `${there.host}/multi`;
    const own = await newStore();
    await own.pull(name, { auth: false, platform: 'linux/amd64' });
    const as = `${registry.host}/multi:1`;
    // Half of it is there: that half is pushed, under its own digest.
    expect(await own.push(name, { ...options, as, platform: 'linux/amd64' })).toMatchObject({ digest: amd.manifest.digest });
    await expect(own.push(name, { ...options, as, platform: 'linux/arm64' })).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
    await own.pull(name, { auth: false, platform: 'linux/amd64', allPlatforms: true });
    expect(await own.push(name, { ...options, as })).toMatchObject({ digest: index.digest });
    const both = JSON.parse(skopeo('inspect', '--raw', '--tls-verify=false', `docker://${as}`));
    expect(both.manifests).toHaveLength(2);
    for (const platform of ['linux/amd64', 'linux/arm64'])
      expect((await (await newStore()).pull(as, { auth: false, platform })).root).toBe(index.digest);
    const requests = there.requests.length;
    await own.pull(name, { auth: false, platform: 'linux/arm64', allPlatforms: true });
    expect(there.requests.length).toBe(requests);
  });

  it('lists tags page by page, and deletes', async () => {
    const tags = ['a', 'b', 'c', 'd', 'e'];
    for (const tag of tags) {
      const name = `${registry.host}/tags:${tag}`;
      await store.create({ reference: name, layers: [layer(tag === 'e' ? 'e' : 'same')] });
      await store.push(name, options);
    }
    await using repository = await Repository.open(`${registry.host}/tags`, { auth: false, access: 'delete' });
    const found: string[] = [];
    for await (const tag of repository.tags({ pageSize: 2 })) found.push(tag);
    // docker-registry 2.8 neither sorts nor pages: that is tested below.
    expect(found.sort()).toEqual(tags);
    const { digest, bytes } = await repository.manifest('e');
    expect(digestOf(bytes)).toBe(digest);
    expect(await repository.resolve('e')).toBe(digest);
    expect(await repository.resolve('nothing')).toBeUndefined();
    expect(await repository.delete(digest)).toBe(true);
    expect(await repository.resolve('e')).toBeUndefined();
    expect(await repository.delete(digest)).toBe(false);
    await expect(repository.manifest('e')).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
    const [config] = [JSON.parse(Buffer.from((await repository.manifest('a')).bytes).toString()).config];
    const chunks: Uint8Array[] = [];
    for await (const chunk of repository.blob(config)) chunks.push(chunk);
    expect(digestOf(Buffer.concat(chunks))).toBe(config.digest);
  });

  it('keeps what refers to a manifest under a tag, as it has no API for it', async () => {
    const name = `${registry.host}/refers:1`;
    const image = await store.create({ reference: name, layers: [layer('signed')] });
    await store.push(name, options);
    await using repository = await Repository.open(name, { auth: false });
    const empty = async () => {
      for await (const r of repository.referrers(image.digest)) return r;
      return undefined;
    };
    expect(await empty()).toBeUndefined();
    const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: image.digest, size: 1 };
    await pushDocument(store, registry.host, 'refers', image, { subject, artifactType: 'application/x.test', annotations: { who: 'me' } });
    const found = [];
    for await (const r of repository.referrers(image.digest, { artifactType: 'application/x.test' })) found.push(r);
    expect(found).toMatchObject([{ artifactType: 'application/x.test', annotations: { who: 'me' } }]);
    for await (const r of repository.referrers(image.digest, { artifactType: 'application/x.other' })) expect.unreachable(r.digest);
  });

  it('an upload that is aborted ends with an AbortError', async () => {
    const name = `${registry.host}/abort:1`;
    await store.create({ reference: name, layers: [layer(randomBytes(8_000_000))], compression: 'none' });
    const stop = new AbortController();
    const pushing = store.push(name, {
      ...options,
      signal: stop.signal,
      onProgress: (p) => p.type === 'upload' && p.bytes > 1_000_000 && stop.abort(new Error('enough')),
    });
    await expect(pushing).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR' });
  });
});

/** Puts a manifest beside an image's own config and layers into the store's index, and pushes it. */
async function pushDocument(
  store: ImageStore,
  host: string,
  repository: string,
  image: Awaited<ReturnType<ImageStore['create']>>,
  more: object,
) {
  const { writeFileSync } = await import('node:fs');
  const file = (digest: string): string => path.join(store.root, 'blobs/sha256', digest.slice(7));
  const manifest = { ...JSON.parse(readFileSync(file(image.digest), 'utf8')), ...more };
  const bytes = Buffer.from(JSON.stringify(manifest));
  writeFileSync(file(digestOf(bytes)), bytes);
  const index = JSON.parse(readFileSync(path.join(store.root, 'index.json'), 'utf8'));
  const name = `${host}/${repository}:artifact`;
  index.manifests.push({
    mediaType: manifest.mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
    annotations: { 'org.opencontainers.image.ref.name': name },
  });
  writeFileSync(path.join(store.root, 'index.json'), JSON.stringify(index));
  await store.push(name, options);
}

describe.skipIf(!n.ok)(n.title('docker-registry with TLS and tokens'), () => {
  const alice = { username: 'alice', password: 'wonderland' };
  const bob = { username: 'bob', password: 'builder' };
  let registry: TestRegistry;
  let tokens: TokenServer;
  let how: PushOptions;

  beforeAll(async () => {
    const tls = certificate(makeTempDir('tls'), 'localhost');
    // alice may do everything; bob may read what is public and do as he likes with his own.
    tokens = await tokenServer(tls, (user, repository, action) =>
      user === 'alice' ? true : repository.startsWith('bob/') || (repository.startsWith('public/') && action === 'pull'),
    );
    registry = await startRegistry(authConfig(tls, tokens));
    how = { ...options, auth: alice, tls: { ca: readFileSync(tls.cert, 'utf8') }, trustedOrigins: [tokens.origin] };
  });
  afterAll(async () => {
    tokens.stop();
    await registry.stop();
  });

  it('asks for the right to push, once, and for that to mount', async () => {
    const store = await newStore();
    await store.create({ reference: `${registry.host}/public/base:1`, layers: [layer('base')] });
    tokens.asked.length = 0;
    await store.push(`${registry.host}/public/base:1`, how);
    expect(tokens.asked).toEqual(['with password repository:public/base:pull,push']);
    await store.create({ reference: `${registry.host}/bob/app:1`, layers: [layer('base'), layer('mine', 'm')] });
    tokens.asked.length = 0;
    expect(await store.push(`${registry.host}/bob/app:1`, { ...how, auth: bob })).toMatchObject({ mounted: 1, uploaded: 2 });
    expect(tokens.asked.sort()).toEqual([
      'with password repository:bob/app:pull,push',
      'with password repository:bob/app:pull,push,repository:public/base:pull',
    ]);
  });

  it('uploads what may not be mounted', async () => {
    const store = await newStore();
    await store.create({ reference: `${registry.host}/secret/base:1`, layers: [layer('hidden')] });
    await store.push(`${registry.host}/secret/base:1`, how);
    await store.create({ reference: `${registry.host}/bob/two:1`, layers: [layer('hidden'), layer('mine', 'm')] });
    expect(await store.push(`${registry.host}/bob/two:1`, { ...how, auth: bob })).toMatchObject({ mounted: 0, uploaded: 3 });
  });

  it('refuses who may not push, in words', async () => {
    const store = await newStore();
    await store.create({ reference: `${registry.host}/public/evil:1`, layers: [layer('x')] });
    const error = (await store.push(`${registry.host}/public/evil:1`, { ...how, auth: bob }).catch((e: Error) => e)) as CtrError;
    expect(error).toMatchObject({ code: 'CTR_IMAGE_AUTH', hint: expect.stringContaining('rights') });
    expect(`${error.message} ${error.stack}`).not.toContain('builder');
  });
});

describe('registries that misbehave', () => {
  let registry: FakeRegistry;
  let other: FakeRegistry;
  let store: ImageStore;
  let name: string;
  /** Of the large blob. */
  let size: number;
  const bodies = new Map<string, Buffer>();

  const read = async (req: IncomingMessage): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  };

  beforeAll(async () => {
    [registry, other] = await Promise.all([FakeRegistry.start(), FakeRegistry.start()]);
    store = await newStore();
    name = `${registry.host}/app:1`;
    const image = await store.create({ reference: name, layers: [layer(randomBytes(2_000_000))], compression: 'none' });
    size = image.layers[0]?.size as number;
  });
  beforeEach(() => {
    registry.reset();
    other.reset();
    bodies.clear();
  });

  const sessions = new Map<string, Buffer>();

  /** Keeps what has come of a body in its session until there is enough, then breaks the connection. */
  const breakAfter = (req: IncomingMessage, res: ServerResponse, bytes: number): true => {
    const at = new URL(req.url ?? '', 'http://x').pathname;
    req.on('error', () => undefined);
    req.on('data', (chunk: Buffer) => {
      const kept = Buffer.concat([sessions.get(at) ?? Buffer.alloc(0), chunk]);
      sessions.set(at, kept);
      if (kept.length >= bytes) {
        req.removeAllListeners('data');
        res.socket?.destroy();
      }
    });
    return true;
  };

  /** A registry that takes uploads; `spoil` may answer first. */
  const takes = (spoil: FakeRegistry['handler'] = () => false): void => {
    sessions.clear();
    registry.handler = async (req, res) => {
      if (await spoil(req, res)) return true;
      const url = new URL(req.url ?? '', 'http://x');
      if (req.method === 'POST' && url.pathname.endsWith('/blobs/uploads/')) {
        const id = `/v2/app/blobs/uploads/${sessions.size}`;
        sessions.set(id, Buffer.alloc(0));
        return reply(res, 202, '', { location: `${id}?state=x` });
      }
      const session = sessions.get(url.pathname);
      const range = (): string => `0-${Math.max(0, (sessions.get(url.pathname)?.length ?? 0) - 1)}`;
      if (req.method === 'GET' && session !== undefined) return reply(res, 204, '', { location: req.url ?? '', range: range() });
      if (req.method === 'PATCH' && session !== undefined) {
        const start = Number(/^(\d+)-/.exec(String(req.headers['content-range']))?.[1]);
        if (start !== session.length) return reply(res, 416, '', { range: range() });
        sessions.set(url.pathname, Buffer.concat([session, await read(req)]));
        return reply(res, 202, '', { location: `${url.pathname}?state=y`, range: range() });
      }
      if (req.method === 'PUT' && session !== undefined) {
        const digest = url.searchParams.get('digest') ?? '';
        const whole = Buffer.concat([session, await read(req)]);
        sessions.set(url.pathname, whole);
        if (digestOf(whole) !== digest) return reply(res, 400, '{"errors":[{"code":"DIGEST_INVALID"}]}');
        bodies.set(digest, whole);
        return reply(res, 201, '', { location: `/v2/app/blobs/${digest}` });
      }
      if (req.method === 'PUT' && url.pathname.includes('/manifests/')) {
        const bytes = await read(req);
        return reply(res, 201, '', { 'docker-content-digest': digestOf(bytes) });
      }
      return false;
    };
  };
  const ranges = () => registry.requests.filter((r) => r.method === 'PATCH').map((r) => r.headers['content-range']);
  const puts = () => registry.requests.filter((r) => r.method === 'PUT' && r.path.includes('/uploads/'));
  const large = (req: IncomingMessage): boolean => req.method === 'PUT' && Number(req.headers['content-length']) > 1_500_000;
  const pushed = (more: { chunkBytes?: number | undefined } & Omit<PushOptions, 'chunkBytes'> = {}) =>
    store.push(name, { ...options, chunkBytes: 600_000, ...more } as PushOptions);

  it('goes on with what has arrived when a piece breaks off', async () => {
    let broken = 0;
    takes((req, res) => {
      if (req.method !== 'PATCH' || broken++ !== 1) return false;
      req.once('data', () => res.socket?.destroy());
      return true;
    });
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    const patches = registry.requests.filter((r) => r.method === 'PATCH').map((r) => r.headers['content-range']);
    expect(patches).toHaveLength(5);
    expect(patches[1]).toBe(patches[2]);
  });

  it('begins anew when the upload is forgotten, and with one PUT where pieces are not taken', async () => {
    let forgot = 0;
    takes((req, res) => req.method === 'PATCH' && forgot++ === 1 && reply(res, 404));
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    registry.reset();
    takes((req, res) => req.method === 'PATCH' && reply(res, 405));
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    expect(registry.requests.filter((r) => r.method === 'PATCH')).toHaveLength(1);
  });

  it('sends pieces as large as the registry wants them, and none to a blob that is one piece', async () => {
    const wants =
      (bytes: string): FakeRegistry['handler'] =>
      (_req, res) => {
        res.setHeader('oci-chunk-min-length', bytes);
        return false;
      };
    takes(wants('900000'));
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    expect(ranges()).toEqual(['0-899999', '900000-1799999', expect.stringMatching(/^1800000-200\d+$/)]);
    registry.reset();
    takes(wants('5000000'));
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    expect(ranges()).toEqual([]);
  });

  it('sends each blob in one request by default', async () => {
    takes();
    expect(await pushed({ chunkBytes: undefined })).toMatchObject({ uploaded: 2 });
    expect(ranges()).toEqual([]);
    expect(puts()).toHaveLength(2);
  });

  it('sends what is missing when that one request breaks', async () => {
    let broken = 0;
    takes((req, res) => large(req) && broken++ === 0 && breakAfter(req, res, 1_000_000));
    expect(await pushed({ chunkBytes: undefined })).toMatchObject({ uploaded: 2 });
    const resumed = puts().find((r) => r.headers['content-range'] !== undefined);
    const start = Number(/^(\d+)-/.exec(resumed?.headers['content-range'] ?? '')?.[1]);
    expect(start).toBeGreaterThanOrEqual(1_000_000);
    expect(Number(resumed?.headers['content-length'])).toBe(size - start);
  });

  it('sends all of it again when the registry was wrong about what it has, and nothing when it has all of it', async () => {
    let broken = 0;
    takes((req, res) => {
      if (large(req) && broken++ === 0) return breakAfter(req, res, 1_000_000);
      // A stale view: the rest is put behind more than was said, and the digest is another.
      return req.method === 'GET' && (req.url ?? '').includes('/uploads/') && reply(res, 204, '', { range: '0-4999' });
    });
    expect(await pushed({ chunkBytes: undefined })).toMatchObject({ uploaded: 2 });
    expect(puts().filter((r) => Number(r.headers['content-length']) === size)).toHaveLength(2);
    registry.reset();
    let taken = false;
    takes(async (req, res) => {
      if (req.method === 'HEAD' && taken) return reply(res, 200);
      if (!large(req)) return false;
      // Only the answer is lost.
      await read(req);
      taken = true;
      res.socket?.destroy();
      return true;
    });
    expect(await pushed({ chunkBytes: undefined })).toMatchObject({ uploaded: 2 });
    expect(puts().filter((r) => Number(r.headers['content-length']) === size)).toHaveLength(1);
  });

  // ocx-sh/ocx#237: the limit is on requests with a Content-Range; one PUT of any size is taken.
  it('GitHub: 416 for a piece over 4 MiB means one request in a new session', async () => {
    const big = `${registry.host}/app:big`;
    await store.create({ reference: big, layers: [layer(randomBytes(6_000_000))], compression: 'none' });
    const limit = 4 * 2 ** 20;
    const said = '{"errors":[{"code":"REQUESTED_RANGE_NOT_SATISFIABLE","message":"the request body is too large"}]}';
    takes(async (req, res) => {
      if (req.method !== 'PATCH' || Number(req.headers['content-length']) <= limit) return false;
      await read(req);
      return reply(res, 416, said);
    });
    expect(await store.push(big, options)).toMatchObject({ uploaded: 2 });
    expect(ranges()).toEqual([]);
    bodies.clear();
    expect(await store.push(big, { ...options, chunkBytes: 5_000_000 })).toMatchObject({ uploaded: 2 });
    expect(ranges()).toEqual(['0-4999999']);
    expect(registry.requests.filter((r) => r.method === 'DELETE')).toHaveLength(1);
    bodies.clear();
    expect(await store.push(big, { ...options, chunkBytes: 4_000_000 })).toMatchObject({ uploaded: 2 });
    expect(ranges()).toHaveLength(3);
  });

  // aws/containers-roadmap#2831: every piece is kept, but `Range` stays at the end of the first.
  it('Amazon: a Range that stays behind is not believed', async () => {
    takes((req, res) => {
      if (req.method !== 'PATCH') return false;
      const { writeHead } = res;
      res.writeHead = ((status: number, headers: Record<string, string>) =>
        writeHead.call(res, status, { ...headers, range: '0-599999' })) as typeof writeHead;
      return false;
    });
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    expect(ranges()).toHaveLength(4);
    expect(puts()).toHaveLength(2);
  });

  // kitops-ml/kitops#777: "you must use monolithic uploads".
  it.each([400, 404, 405, 501])('Google: a registry that takes no pieces (%d) gets one request', async (status) => {
    takes(async (req, res) => req.method === 'PATCH' && (await read(req)) && reply(res, status));
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    expect(ranges()).toHaveLength(1);
    expect(puts()).toHaveLength(2);
  });

  it('pieces that lead to another digest are sent as one', async () => {
    takes(
      (req, res) =>
        req.method === 'PUT' && req.headers['content-length'] === '0' && reply(res, 400, '{"errors":[{"code":"DIGEST_INVALID"}]}'),
    );
    expect(await pushed()).toMatchObject({ uploaded: 2 });
    expect(puts().map((r) => r.headers['content-length'])).toContain(String(size));
  });

  it('names chunkBytes where a proxy takes no large requests, and gets through with it', async () => {
    // nginx answers before it has read the body, and reads on for a while (lingering_close) so that the answer arrives.
    takes(async (req, res) => {
      if (Number(req.headers['content-length'] ?? 0) <= 1_000_000) return false;
      reply(res, 413, '<html><h1>413 Request Entity Too Large</h1></html>', { 'content-type': 'text/html' });
      await read(req).catch(() => undefined);
      return true;
    });
    const refused = { code: 'CTR_IMAGE_REGISTRY', status: 413, hint: expect.stringContaining('chunkBytes') };
    await expect(pushed({ chunkBytes: undefined })).rejects.toMatchObject(refused);
    await expect(pushed({ chunkBytes: 1_500_000 })).rejects.toMatchObject(refused);
    expect(await pushed()).toMatchObject({ uploaded: 2 });
  });

  it('says that a repository must be made first', async () => {
    const said = '{"errors":[{"code":"NAME_UNKNOWN","message":"The repository with name app does not exist in the registry"}]}';
    takes((req, res) => req.method === 'POST' && reply(res, 404, said));
    await expect(pushed()).rejects.toMatchObject({
      code: 'CTR_IMAGE_NOT_FOUND',
      hint: expect.stringContaining('made before the first push'),
    });
  });

  it('waits when it is told to, and tries again after 5xx', async () => {
    let busy = 0;
    takes((req, res) => req.method === 'PUT' && busy++ < 2 && reply(res, busy === 1 ? 429 : 503, '', { 'retry-after': '0' }));
    expect(await pushed({ chunkBytes: 10_000_000 })).toMatchObject({ uploaded: 2 });
  });

  it('R-07: sends nothing to another host that a Location names, least of all credentials', async () => {
    takes((req, res) => {
      if (req.headers.authorization === undefined) return reply(res, 401, '', { 'www-authenticate': 'Basic realm="x"' });
      return req.method === 'POST' && reply(res, 202, '', { location: `${other.origin}/v2/app/blobs/uploads/1` });
    });
    const auth = { username: 'alice', password: 'secret' };
    await expect(pushed({ auth })).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY', hint: expect.stringContaining('trustedOrigins') });
    expect(other.requests).toEqual([]);
    // A trusted one gets the data, and no credentials.
    other.handler = async (req, res) => {
      await read(req);
      return reply(res, req.method === 'PATCH' ? 202 : 201);
    };
    await expect(pushed({ auth, trustedOrigins: [other.origin] })).resolves.toMatchObject({ uploaded: 2 });
    expect(other.requests.length).toBeGreaterThan(0);
    expect(other.requests.every((r) => r.headers.authorization === undefined)).toBe(true);
  });

  it('R-07: a redirect does not take away what is written', async () => {
    takes((req, res) => req.method === 'PUT' && reply(res, 307, '', { location: `${other.origin}/take` }));
    await expect(pushed()).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    expect(other.requests).toEqual([]);
  });

  it('notices that the registry stored another manifest', async () => {
    takes((req, res) =>
      req.method === 'PUT' && req.url?.includes('/manifests/')
        ? reply(res, 201, '', { 'docker-content-digest': digestOf('other') })
        : false,
    );
    await expect(pushed()).rejects.toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
  });

  it('R-18: a list of tags that never ends is left, also when each page is another', async () => {
    registry.handler = (req, res) =>
      req.url?.includes('/tags/list') === true &&
      reply(res, 200, JSON.stringify({ tags: ['a', '../x'] }), { link: '</v2/app/tags/list?last=a>; rel="next"' });
    await using repository = await Repository.open(`${registry.host}/app`, { auth: false });
    const all = async (): Promise<number> => {
      let count = 0;
      for await (const tag of repository.tags()) count += tag === 'a' ? 1 : 1000;
      return count;
    };
    await expect(all()).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    registry.handler = (req, res) =>
      req.url?.includes('/tags/list') === true && reply(res, 200, '{"tags":["a"]}', { link: `<${other.origin}/evil>; rel=next` });
    await expect(all()).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    expect(other.requests).toEqual([]);
  });

  it('reads tags page by page', async () => {
    const all = Array.from({ length: 7 }, (_, i) => `v${i}`);
    registry.handler = (req, res) => {
      const url = new URL(req.url ?? '', 'http://x');
      if (!url.pathname.endsWith('/tags/list')) return false;
      const [from, n] = [all.indexOf(url.searchParams.get('last') ?? '') + 1, Number(url.searchParams.get('n'))];
      const page = all.slice(from, from + n);
      const link = from + n < all.length ? { link: `</v2/app/tags/list?n=${n}&last=${page.at(-1)}>; rel="next"` } : {};
      return reply(res, 200, JSON.stringify({ name: 'app', tags: page.length > 0 ? page : null }), link);
    };
    await using repository = await Repository.open(`${registry.host}/app`, { auth: false });
    const found: string[] = [];
    for await (const tag of repository.tags({ pageSize: 3 })) found.push(tag);
    expect(found).toEqual(all);
    expect(registry.paths()).toHaveLength(3);
    // Who stops reading asks for no further page.
    registry.requests.length = 0;
    for await (const _ of repository.tags({ pageSize: 2 })) break;
    expect(registry.paths()).toHaveLength(1);
  });

  it('what others add to the stand-in list at the same time is not lost, and neither is ours', async () => {
    const image = await store.create({ reference: `${registry.host}/raced:1`, layers: [layer('raced')] });
    const theirs = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: digestOf('theirs'), size: 10 };
    const list = (manifests: unknown[]): Buffer => Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
    let stored: Buffer | undefined;
    let writes = 0;
    registry.handler = async (req, res) => {
      const at = req.url?.split('/').at(-1) ?? '';
      if (req.method === 'HEAD') return reply(res, 200);
      if (req.method === 'PUT' && at === image.digest.replace(':', '-')) {
        const sent = await read(req);
        // The first time somebody who read the list when it was empty writes right after us.
        stored = writes++ === 0 ? list([theirs]) : sent;
        return reply(res, 201);
      }
      if (req.method === 'PUT') return reply(res, (await read(req)) && 201);
      return stored === undefined ? reply(res, 404) : reply(res, 200, stored, { 'content-type': OCI_INDEX });
    };
    const subject = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest: image.digest, size: 1 };
    await pushDocument(store, registry.host, 'raced', image, { subject, artifactType: 'application/x.test' });
    expect(writes).toBe(2);
    const { manifests } = JSON.parse(String(stored)) as { manifests: { digest: string; artifactType?: string }[] };
    expect(manifests[0]).toEqual(theirs);
    expect(manifests[1]).toMatchObject({ artifactType: 'application/x.test' });
    // And where others always come in between, it ends.
    registry.handler = async (req, res) => {
      if (req.method === 'HEAD') return reply(res, 200);
      if (req.method === 'PUT') return reply(res, (await read(req)) && 201);
      return reply(res, 404);
    };
    await expect(pushDocument(store, registry.host, 'raced', image, { subject, artifactType: 'application/y.test' })).rejects.toMatchObject(
      {
        code: 'CTR_IMAGE_REGISTRY',
      },
    );
  });

  it('reads the referrers API page by page', async () => {
    const subject = digestOf('subject');
    const entry = (i: number) => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: digestOf(`r${i}`),
      size: 10,
      artifactType: `type/${i % 2}`,
    });
    registry.handler = (req, res) => {
      if (!req.url?.includes(`/referrers/${subject}`)) return false;
      const page = Number(new URL(req.url, 'http://x').searchParams.get('page') ?? 0);
      const headers = page < 2 ? { link: `<?page=${page + 1}>; rel="next"` } : {};
      return reply(res, 200, JSON.stringify({ schemaVersion: 2, manifests: [entry(2 * page), entry(2 * page + 1)] }), headers);
    };
    await using repository = await Repository.open(`${registry.host}/app`, { auth: false });
    const found = [];
    for await (const r of repository.referrers(subject, { artifactType: 'type/1' })) found.push(r.digest);
    expect(found).toEqual([digestOf('r1'), digestOf('r3'), digestOf('r5')]);
  });

  it('says what is missing', async () => {
    await expect(store.push('localhost/nothing', options)).rejects.toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
    await expect(store.push(name, { ...options, mountFrom: ['UPPER'] })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
    await expect(store.push(name, { ...options, chunkBytes: 0 })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });
});
