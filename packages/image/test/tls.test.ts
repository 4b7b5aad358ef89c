// Case R-24, and the real docker-registry behind TLS that demands tokens: the whole way of a private registry.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ImageStore, type PullOptions, packTar } from '../src/index.js';
import { bundle, runNode } from './support/programs.js';
import { startRegistry, type TestRegistry } from './support/registry.js';
import { authConfig, certificate, type TokenServer, tokenServer } from './support/tls.js';

const n = need('registry', 'skopeo', 'openssl');
const address = Object.values(networkInterfaces())
  .flat()
  .find((a) => a?.family === 'IPv4' && !a.internal)?.address;
host.define('network address', { test: () => address !== undefined, cure: 'give this machine a network interface besides lo' });
const away = need('network address');

const options: PullOptions = { retry: { attempts: 1 }, auth: false };
const newStore = (): Promise<ImageStore> => ImageStore.open({ root: makeTempDir('store') });

describe.skipIf(!n.ok)(n.title('docker-registry with TLS and tokens'), () => {
  let registry: TestRegistry;
  let tokens: TokenServer;
  let tls: { cert: string; key: string };
  const alice = { username: 'alice', password: 'wonderland' };

  beforeAll(async () => {
    tls = certificate(makeTempDir('tls'), 'localhost');
    tokens = await tokenServer(tls);
    registry = await startRegistry(authConfig(tls, tokens));
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
    tokens.stop();
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

  it('is believed with the authority in the tls option, or in certs.d', async () => {
    const ca = readFileSync(tls.cert, 'utf8');
    const how = { auth: alice, trustedOrigins: [tokens.origin] };
    expect((await pull({ ...how, tls: { ca } })).layers).toHaveLength(1);
    expect((await pull({ ...how, tls: { ca: [ca] } })).layers).toHaveLength(1);
    await expect(pull({ ...how, tls: {} })).rejects.toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    const home = makeTempDir('home');
    mkdirSync(`${home}/.config/containers/certs.d/${registry.host}`, { recursive: true });
    writeFileSync(`${home}/.config/containers/certs.d/${registry.host}/ca.crt`, ca);
    const before = process.env['HOME'];
    process.env['HOME'] = home;
    try {
      expect((await pull(how)).layers).toHaveLength(1);
    } finally {
      process.env['HOME'] = before;
    }
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
