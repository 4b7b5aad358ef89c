// Case R-24, and the real docker-registry behind TLS that demands tokens: the whole way of a private registry.
import { execFileSync } from 'node:child_process';
import { createSign, randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ImageStore, type PullOptions, packTar } from '../src/index.js';
import { bundle, runNode } from './support/programs.js';
import { startRegistry, type TestRegistry } from './support/registry.js';

host.define('openssl', { test: () => execFileSync('openssl', ['version']).length > 0, cure: 'apt-get install openssl' });
const n = need('registry', 'skopeo', 'openssl');
const address = Object.values(networkInterfaces())
  .flat()
  .find((a) => a?.family === 'IPv4' && !a.internal)?.address;
host.define('network address', { test: () => address !== undefined, cure: 'give this machine a network interface besides lo' });
const away = need('network address');

const options: PullOptions = { retry: { attempts: 1 }, auth: false };
const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });

/** A certificate that nobody vouches for. */
function certificate(dir: string, name: string, ...more: string[]): { cert: string; key: string } {
  const [cert, key] = [path.join(dir, `${name}.crt`), path.join(dir, `${name}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name},IP:127.0.0.1`];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject, ...more],
    { stdio: 'ignore' },
  );
  return { cert, key };
}

/** Gives tokens to alice, in the form that docker-registry verifies. */
async function tokenServer(tls: { cert: string; key: string }): Promise<{ server: Server; origin: string; asked: string[] }> {
  const asked: string[] = [];
  const x5c = [new X509Certificate(readFileSync(tls.cert)).raw.toString('base64')];
  const server = createServer((req, res) => {
    const url = new URL(req.url ?? '', 'http://x');
    asked.push(`${req.headers.authorization ? 'with password' : 'anonymous'} ${url.searchParams.getAll('scope').join()}`);
    if (req.headers.authorization !== `Basic ${Buffer.from('alice:wonderland').toString('base64')}`) return res.writeHead(401).end();
    const now = Math.floor(Date.now() / 1000);
    const access = url.searchParams.getAll('scope').map((scope) => {
      const [type, name, actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',') };
    });
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      iss: 'test-issuer',
      sub: 'alice',
      aud: 'test-service',
      exp: now + 300,
      nbf: now - 60,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const signed = `${part({ typ: 'JWT', alg: 'RS256', x5c })}.${part(claims)}`;
    const signature = createSign('sha256').update(signed).sign(readFileSync(tls.key)).toString('base64url');
    return res.end(JSON.stringify({ token: `${signed}.${signature}`, expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

describe.skipIf(!n.ok)(n.title('docker-registry with TLS and tokens'), () => {
  let registry: TestRegistry;
  let tokens: Awaited<ReturnType<typeof tokenServer>>;
  let tls: { cert: string; key: string };
  const alice = { username: 'alice', password: 'wonderland' };

  beforeAll(async () => {
    tls = certificate(makeTempDir('tls'), 'localhost');
    tokens = await tokenServer(tls);
    const auth = `auth:\n  token:\n    realm: ${tokens.origin}/token\n    service: test-service\n    issuer: test-issuer\n    rootcertbundle: ${tls.cert}\n`;
    registry = await startRegistry(`  tls:\n    certificate: ${tls.cert}\n    key: ${tls.key}\n${auth}`);
    const source = await newStore();
    await source.create({ reference: 'localhost/app:1', layers: [packTar([{ type: 'file', path: 'a', content: 'b' }])] });
    const push = [
      'copy',
      '--dest-tls-verify=false',
      '--dest-creds=alice:wonderland',
      `oci:${source.root}:localhost/app:1`,
      `docker://${registry.host}/team/app:1`,
    ];
    // skopeo must not block this process: the token server is in it.
    const { execFile } = await import('node:child_process');
    await new Promise<void>((resolve, reject) =>
      execFile('skopeo', push, (error, _, stderr) => (error ? reject(new Error(stderr)) : resolve())),
    );
  });
  afterAll(async () => {
    tokens.server.close();
    await registry.stop();
  });

  const pull = async (more: PullOptions) => (await newStore()).pull(`${registry.host}/team/app:1`, { ...options, ...more });
  const private_ = (): PullOptions => ({ auth: alice, insecure: true, trustedOrigins: [tokens.origin] });

  it('is pulled from with credentials, by one token', async () => {
    tokens.asked.length = 0;
    expect((await pull(private_())).layers).toHaveLength(1);
    expect(tokens.asked).toEqual(['with password repository:team/app:pull']);
  });

  it('refuses who has none, or wrong ones', async () => {
    await expect(pull({ ...private_(), auth: false })).rejects.toMatchObject({ code: 'CTR_IMAGE_AUTH', status: 401 });
    await expect(pull({ ...private_(), auth: { username: 'alice', password: 'no' } })).rejects.toMatchObject({
      code: 'CTR_IMAGE_AUTH',
      hint: expect.stringContaining('password'),
    });
  });

  it('R-24: is not believed without a certificate that somebody vouches for', async () => {
    for (const insecure of [false, ['other.example'], ['127.0.0.1:1']]) {
      tokens.asked.length = 0;
      const error = await pull({ ...private_(), insecure }).catch((e: Error) => e);
      expect(error).toMatchObject({ code: 'CTR_IMAGE_REGISTRY', hint: expect.stringContaining('NODE_EXTRA_CA_CERTS') });
      expect(tokens.asked).toEqual([]);
    }
    expect((await pull({ ...private_(), insecure: [registry.host] })).layers).toHaveLength(1);
  });

  it('is believed with NODE_EXTRA_CA_CERTS', async () => {
    const script = `const store = await ImageStore.open({ root: args.root }); console.log((await store.pull(args.reference, args.options)).layers.length);`;
    const args = {
      root: makeTempDir('store'),
      reference: `${registry.host}/team/app:1`,
      options: { auth: alice, trustedOrigins: [tokens.origin] },
    };
    expect(await runNode(await bundle(), script, args, ['env', `NODE_EXTRA_CA_CERTS=${tls.cert}`]).done).toBe('1\n');
  });

  it.skipIf(!away.ok)(away.title('a server without TLS is told from one with a bad certificate'), async () => {
    const plain = createServer((_, res) => res.end());
    await new Promise<void>((resolve) => plain.listen(0, address, resolve));
    const { port } = plain.address() as AddressInfo;
    // Not a loopback address, so https is asked for.
    const reference = `${address}:${port}/app`;
    const store = await newStore();
    await expect(store.pull(reference, options)).rejects.toMatchObject({
      code: 'CTR_IMAGE_REGISTRY',
      hint: expect.stringContaining('insecure'),
    });
    await expect(store.pull(reference, { ...options, insecure: true })).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
    plain.close();
  });
});
