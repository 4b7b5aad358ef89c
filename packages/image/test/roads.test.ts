// The roads to a registry that companies have: credential helpers, proxies, mirrors.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore, type PullOptions, packTar } from '../src/index.js';
import { findCredentials } from '../src/registry/credentials.js';
import { type FakeImage, FakeRegistry, putImage, reply } from './support/fake-registry.js';
import { startRegistry, type TestRegistry } from './support/registry.js';
import { certificate } from './support/tls.js';

const options: PullOptions = { auth: false, retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 5 } };
const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });

let registry: FakeRegistry;
let mirror: FakeRegistry;
let image: FakeImage;
beforeAll(async () => {
  [registry, mirror] = await Promise.all([FakeRegistry.start(), FakeRegistry.start()]);
  image = await putImage(registry, 'team/app');
});
beforeEach(() => {
  registry.reset();
  mirror.reset();
});

const environment = { ...process.env };
afterEach(() => {
  process.env = { ...environment };
});

describe('credential helpers', () => {
  /** A real program in PATH that does what docker's helpers do. */
  function helper(name: string, script: string): void {
    const dir = makeTempDir('helper');
    writeFileSync(path.join(dir, `docker-credential-${name}`), `#!/bin/sh\n${script}\n`);
    chmodSync(path.join(dir, `docker-credential-${name}`), 0o755);
    process.env['PATH'] = `${dir}:${process.env['PATH']}`;
  }
  const configFile = (config: object): string => {
    const file = path.join(makeTempDir('config'), 'config.json');
    writeFileSync(file, JSON.stringify(config));
    return file;
  };
  const alice = '{"ServerURL":"x","Username":"alice","Secret":"s3cret"}';

  it('are asked for the server by its name, on their input', async () => {
    const log = path.join(makeTempDir('log'), 'log');
    helper('one', `echo "$1 $(cat)" >> ${log}; echo '${alice}'`);
    const file = configFile({ credHelpers: { 'r.example:5000': 'one' }, credsStore: 'none' });
    expect(await findCredentials('r.example:5000', 'a/b', [file])).toEqual({
      auth: { username: 'alice', password: 's3cret' },
      helper: undefined,
    });
    const hub = configFile({ credsStore: 'one' });
    expect((await findCredentials('docker.io', 'library/a', [hub])).auth).toEqual({ username: 'alice', password: 's3cret' });
    expect(readFileSync(log, 'utf8')).toBe('get r.example:5000\nget https://index.docker.io/v1/\n');
  });

  it('give identity tokens under the name <token>', async () => {
    helper('token', `echo '{"Username":"<token>","Secret":"refresh"}'`);
    expect((await findCredentials('r.example', 'a', [configFile({ credsStore: 'token' })])).auth).toEqual({ identityToken: 'refresh' });
  });

  it('that have nothing leave it to the file, and to being nobody', async () => {
    helper('empty', 'echo "credentials not found in native keychain"; exit 1');
    const auths = { 'r.example': { auth: Buffer.from('bob:pw').toString('base64') } };
    expect((await findCredentials('r.example', 'a', [configFile({ credsStore: 'empty', auths })])).auth).toEqual({
      username: 'bob',
      password: 'pw',
    });
    expect(await findCredentials('other.example', 'a', [configFile({ credsStore: 'empty', auths })])).toEqual({
      auth: undefined,
      helper: 'empty',
      problem: undefined,
    });
  });

  it.each([
    ['fails', 'echo secret-marker; exit 3', 'status 3'],
    ['gives no JSON', 'echo secret-marker', 'no JSON'],
    ['gives something else', `echo '{"Username":7,"Secret":"secret-marker"}'`, 'no JSON'],
    ['floods', 'head -c 3000000 /dev/zero', 'could not be run'],
  ])('that %s is named in the advice, without what it printed', async (_, script, problem) => {
    helper('bad', script);
    registry.handler = (req, res) => req.url !== '/v2/' && reply(res, 401, '', { 'www-authenticate': 'Basic realm="x"' });
    process.env['DOCKER_CONFIG'] = path.dirname(configFile({ credHelpers: { [registry.host]: 'bad' } }));
    const { auth: _none, ...found } = options;
    const error = await (await newStore()).pull(`${registry.host}/team/app`, found).catch((e: Error) => e);
    expect(error).toMatchObject({ code: 'CTR_IMAGE_AUTH', hint: expect.stringContaining('docker-credential-bad') });
    expect(error).toMatchObject({ hint: expect.stringContaining(problem) });
    expect(JSON.stringify([String(error), error])).not.toContain('secret-marker');
  });

  it.each(['../evil', 'a b', 'a/b', ''])('the name %j runs no program', async (name) => {
    expect((await findCredentials('r.example', 'a', [configFile({ credsStore: name })])).auth).toBeUndefined();
  });

  it('are ended by the signal', async () => {
    helper('slow', 'exec sleep 30');
    const signal = AbortSignal.timeout(100);
    const began = performance.now();
    await findCredentials('r.example', 'a', [configFile({ credsStore: 'slow' })], signal);
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(signal.aborted).toBe(true);
  });
});

describe('mirrors', () => {
  const through = (more: PullOptions = {}): PullOptions => ({ ...options, mirrors: { [registry.host]: [mirror.host] }, ...more });
  const pull = async (more?: PullOptions) => (await newStore()).pull(`${registry.host}/team/app`, through(more));

  it('are asked first, and the registry not at all when they have everything', async () => {
    await putImage(mirror, 'team/app');
    expect((await pull()).digest).toBe(image.manifest.digest);
    expect(registry.requests).toEqual([]);
    expect(mirror.paths()).toHaveLength(3);
  });

  it('may keep their copies below a path', async () => {
    await putImage(mirror, 'cache/team/app');
    const store = await newStore();
    await store.pull(`${registry.host}/team/app`, { ...options, mirrors: { [registry.host]: [`${mirror.host}/cache`] } });
    // Not the same bytes: the content tells the repository. It is the tag that counts, and the mirror has it.
    expect(registry.requests).toEqual([]);
    expect(mirror.paths().every((p) => p.includes('/v2/cache/team/app/'))).toBe(true);
  });

  it.each<[string, FakeRegistry['handler']]>([
    ['has nothing', (req, res) => req.url !== '/v2/' && reply(res, 404)],
    ['is broken', (_, res) => reply(res, 500)],
    ['hangs up', (_, res) => Boolean(res.socket?.destroy())],
    ['wants to know who we are', (req, res) => req.url !== '/v2/' && reply(res, 401, '', { 'www-authenticate': 'Basic realm="x"' })],
    ['has no blobs', (req, res) => req.url?.includes('/blobs/') === true && reply(res, 404)],
  ])('one that %s is passed over', async (_, handler) => {
    mirror.handler = handler;
    expect((await pull({ auth: { username: 'alice', password: 'for the registry alone' } })).digest).toBe(image.manifest.digest);
    expect(mirror.requests.every((r) => r.headers.authorization === undefined)).toBe(true);
  });

  it('one that nobody listens at is passed over', async () => {
    const store = await newStore();
    const mirrors = { [registry.host]: ['127.0.0.1:1'] };
    expect((await store.pull(`${registry.host}/team/app`, { ...options, mirrors })).digest).toBe(image.manifest.digest);
  });

  it.each(['config', 'layer'])('R-29: one that has another %s is passed over, and only what is right is published', async (kind) => {
    const wrong = kind === 'config' ? image.config : image.layers[0];
    mirror.handler = (req, res) => {
      if (!req.url?.includes(wrong?.digest ?? '-')) return false;
      return reply(res, 200, Buffer.alloc(wrong?.size ?? 0, 'x'));
    };
    await putImage(mirror, 'team/app');
    const store = await newStore();
    const both = await Promise.all([1, 2].map(() => store.pull(`${registry.host}/team/app`, through())));
    expect(new Set(both.map((i) => i.digest))).toEqual(new Set([image.manifest.digest]));
    expect((await store.verify()).damaged).toEqual([]);
  });

  it.each([
    [{ 'not a host': [] }],
    [{ 'a.example': 'b.example' }],
    [{ 'a.example': ['https://b.example'] }],
    [{ 'a.example': ['b.example/../x'] }],
    [[]],
  ])('%j is refused', async (mirrors) => {
    const bad = { mirrors } as unknown as PullOptions;
    await expect((await newStore()).pull('a.example/x', bad)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });
});

const n = need('registry', 'openssl');
describe.skipIf(!n.ok)(n.title('a proxy'), () => {
  let proxy: Server;
  let address: string;
  let seen: { method: string; url: string; auth: string | undefined }[];
  let demand: string | undefined;
  let behind: TestRegistry;
  let ca: string;

  beforeAll(async () => {
    const tls = certificate(makeTempDir('tls'), 'registry.test');
    ca = readFileSync(tls.cert, 'utf8');
    behind = await startRegistry(`  tls:\n    certificate: ${tls.cert}\n    key: ${tls.key}\n`);
    proxy = createServer((req, res) => {
      note(req);
      if (demand !== undefined && req.headers['proxy-authorization'] !== demand) return res.writeHead(407).end();
      const url = new URL(req.url ?? '');
      const { 'proxy-authorization': _, ...headers } = req.headers;
      // Every name leads to the fake registry: the proxy does the looking up.
      const [hostname, port] = registry.host.split(':');
      return request({ hostname, port, method: req.method, path: url.pathname, headers }, (answer) => {
        res.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(res);
      }).end();
    });
    proxy.on('connect', (req, socket, head) => {
      note(req);
      if (demand !== undefined && req.headers['proxy-authorization'] !== demand)
        return socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n');
      if (req.url !== 'registry.test:5000') return socket.end('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n');
      const [hostname = '', port] = behind.host.split(':');
      const upstream = connect(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        upstream.write(head);
        upstream.pipe(socket).pipe(upstream);
      });
      upstream.on('error', () => socket.destroy());
      return socket.on('error', () => upstream.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    address = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    proxy.closeAllConnections();
    proxy.close();
    await behind.stop();
  });
  beforeEach(() => {
    seen = [];
    demand = undefined;
  });
  const note = (req: IncomingMessage): void =>
    void seen.push({ method: req.method ?? '', url: req.url ?? '', auth: req.headers['proxy-authorization'] });

  it('tunnels TLS: the proxy sees the host, not the request; push and pull go through', async () => {
    process.env['HTTPS_PROXY'] = `http://${address}`;
    const store = await newStore();
    const name = 'registry.test:5000/app:1';
    await store.create({ reference: name, layers: [packTar([{ type: 'file', path: 'a', content: 'b' }])] });
    const how = { ...options, tls: { ca } };
    const pushed = await store.push(name, how);
    expect((await (await newStore()).pull(name, how)).digest).toBe(pushed.digest);
    expect(new Set(seen.map((s) => `${s.method} ${s.url}`))).toEqual(new Set(['CONNECT registry.test:5000']));
    // Without the authority the certificate is refused, proxy or not.
    await expect((await newStore()).pull(name, options)).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
  });

  it('is given whole URLs for plain http, with its own user and password', async () => {
    demand = `Basic ${Buffer.from('me:it').toString('base64')}`;
    const name = 'plain.test:81/team/app';
    const how = { ...options, insecure: ['plain.test:81'] };
    const got = await (await newStore()).pull(name, { ...how, proxy: `http://me:it@${address}` });
    expect(got.digest).toBe(image.manifest.digest);
    expect(seen.some((s) => s.url.startsWith('http://plain.test:81/v2/team/app/'))).toBe(true);
    const error = await (await newStore())
      .pull('far.test/app', { ...options, proxy: `http://me:wrong-secret@${address}` })
      .catch((e: Error) => e);
    expect(error).toMatchObject({ code: 'CTR_IMAGE_REGISTRY', hint: expect.stringContaining('proxy') });
    expect(JSON.stringify([String(error), error])).not.toContain('wrong-secret');
  });

  it('is not used for this machine, nor for what NO_PROXY names', async () => {
    process.env['HTTP_PROXY'] = process.env['HTTPS_PROXY'] = `http://${address}`;
    await (await newStore()).pull(`${registry.host}/team/app`, options);
    process.env['NO_PROXY'] = 'nowhere.test';
    await expect((await newStore()).pull('nowhere.test/app', { ...options, idleTimeoutMs: 3000 })).rejects.toMatchObject({
      code: 'CTR_IMAGE_REGISTRY',
    });
    expect(seen).toEqual([]);
  });

  it('R-05: literal private addresses are refused behind a proxy as well', async () => {
    process.env['HTTPS_PROXY'] = process.env['HTTP_PROXY'] = `http://${address}`;
    registry.handler = (req, res) => req.url?.includes('/blobs/') === true && reply(res, 307, '', { location: 'http://169.254.169.254/x' });
    const how = { ...options, insecure: ['plain.test:81'] };
    await expect((await newStore()).pull('plain.test:81/team/app', how)).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    expect(seen.some((s) => s.url.includes('169.254'))).toBe(false);
  });

  it.each(['socks5://a:1', '', 7])('the option %j is refused', async (proxy) => {
    await expect((await newStore()).pull('a/b', { proxy } as PullOptions)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
  });
});
