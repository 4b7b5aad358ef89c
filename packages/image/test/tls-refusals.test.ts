// Case R-24: certificates and protocols that must not be believed, at the registry and at the token server it names. Revocation is
// not looked up: Node does not, and no registry staples it.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ImageStore, type PullOptions } from '../src/index.js';
import { FakeRegistry, putImage, reply } from './support/fake-registry.js';
import { certificate, type KeyPair } from './support/tls.js';

const n = need('openssl');
const SECRET = 'hunter2-marked-secret';
const auth = { username: 'alice', password: SECRET };

/** Trusted, for the right host, and long over. */
function expired(dir: string): KeyPair {
  const file = (name: string): string => path.join(dir, name);
  writeFileSync(file('index.txt'), '');
  writeFileSync(file('serial'), '01\n');
  writeFileSync(
    file('ca.cnf'),
    `[ca]\ndefault_ca = own\n[own]\ndatabase = ${dir}/index.txt\nserial = ${dir}/serial\nnew_certs_dir = ${dir}\ndefault_md = sha256\npolicy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n`,
  );
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  openssl('req', '-new', '-newkey', 'rsa:2048', '-nodes', '-keyout', file('old.key'), '-out', file('old.csr'), ...names);
  const dates = ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z'];
  openssl(
    'ca',
    '-batch',
    '-notext',
    '-selfsign',
    '-config',
    file('ca.cnf'),
    '-keyfile',
    file('old.key'),
    ...dates,
    '-in',
    file('old.csr'),
    '-out',
    file('old.crt'),
  );
  return { cert: file('old.crt'), key: file('old.key') };
}

describe.skipIf(!n.ok)(n.title('R-24: TLS that is refused'), () => {
  let fake: FakeRegistry;
  let seen: string[];
  const servers: https.Server[] = [];
  const dir = makeTempDir('tls');
  let pairs: Record<string, KeyPair>;

  beforeAll(async () => {
    fake = await FakeRegistry.start();
    await putImage(fake, 'team/app');
    pairs = { right: certificate(dir, 'localhost'), other: otherHost(), expired: expired(makeTempDir('expired')) };
  });
  afterAll(() => {
    for (const server of servers) server.close();
  });
  beforeEach(() => {
    fake.reset();
    seen = [];
  });

  /** Valid for another name, and for no address. */
  function otherHost(): KeyPair {
    const [cert, key] = [path.join(dir, 'other.crt'), path.join(dir, 'other.key')];
    const names = ['-subj', '/CN=other.example', '-addext', 'subjectAltName=DNS:other.example'];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...names], {
      stdio: 'ignore',
    });
    return { cert, key };
  }

  async function serve(pair: KeyPair, options: https.ServerOptions): Promise<string> {
    const server = https.createServer({ cert: readFileSync(pair.cert), key: readFileSync(pair.key), ...options }, (req, res) => {
      seen.push(`${req.url} ${req.headers.authorization ?? ''}`);
      res.end('{"token":"t"}');
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return `127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  const cases: [string, string, https.ServerOptions, boolean][] = [
    ['a certificate that nobody vouches for', 'right', {}, false],
    ['a certificate for another host', 'other', {}, true],
    ['a certificate that is over', 'expired', {}, true],
    ['TLS 1.1 and older', 'right', old, true],
  ];
  const pull = async (reference: string, more: PullOptions): Promise<unknown> => {
    const store = await ImageStore.open({ root: makeTempDir('store') });
    return store.pull(reference, { auth, retry: { attempts: 1 }, idleTimeoutMs: 5000, ...more }).catch((e: Error) => e);
  };
  const trust = (name: string, trusted: boolean): PullOptions =>
    trusted ? { tls: { ca: readFileSync((pairs[name] as KeyPair).cert, 'utf8') } } : { tls: {} };

  it.each(cases)('the registry: %s', async (_, name, options, trusted) => {
    const address = await serve(pairs[name] as KeyPair, options);
    const error = await pull(`${address}/team/app`, trust(name, trusted));
    expect(error).toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    expect(seen).toEqual([]);
  });

  it.each(cases)('the token server: %s', async (_, name, options, trusted) => {
    const address = await serve(pairs[name] as KeyPair, options);
    fake.handler = (req, res) =>
      req.url !== '/v2/' && reply(res, 401, '', { 'www-authenticate': `Bearer realm="https://${address}/token",service="s"` });
    const error = await pull(`${fake.host}/team/app`, { ...trust(name, trusted), insecure: true });
    expect(error).toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
    // Not even "insecure" makes us send a password to a token server that cannot prove who it is.
    expect(seen).toEqual([]);
    expect(JSON.stringify([String(error), error])).not.toContain(SECRET);
  });

  it('and what is right is believed', async () => {
    const address = await serve(pairs['right'] as KeyPair, {});
    fake.handler = (req, res) =>
      req.url !== '/v2/' &&
      req.headers.authorization !== 'Bearer t' &&
      reply(res, 401, '', { 'www-authenticate': `Bearer realm="https://${address}/token",service="s"` });
    expect(await pull(`${fake.host}/team/app`, trust('right', true))).toMatchObject({ reference: `${fake.host}/team/app:latest` });
    expect(seen.length).toBe(1);
  });
});
