// Containers of images that lie in a registry of one's own: certificates of an own authority, a login, a mirror.
import { readFileSync } from 'node:fs';
import { ImageStore, type PushOptions, packTar, type RegistryAuth } from '@ctr/image';
import { makeTempDir, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startRegistry, type TestRegistry } from '../../image/test/support/registry.js';
import { authConfig, certificate, type TokenServer, tokenServer } from '../../image/test/support/tls.js';
import { type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';
import { entriesOf } from './entries.js';

const asRoot = process.getuid?.() === 0;
const n = need('registry', 'openssl', 'busybox', asRoot ? 'root' : 'overlay-in-userns');

describe.skipIf(!n.ok)(n.title('containers from a private registry'), () => {
  const auth: RegistryAuth = { username: 'alice', password: 'wonderland' };
  let registry: TestRegistry;
  let tokens: TokenServer;
  let name: string;
  let trust: Pick<PushOptions, 'tls' | 'trustedOrigins'>;
  /** In a store that knows nothing, so that everything comes from the registry. */
  const run = async (image: string, options: RunOptions): Promise<string> =>
    runContainer(image, ['cat', '/from'], { store: await ImageStore.open({ root: makeTempDir('store') }), ...options }).text();

  beforeAll(async () => {
    const pair = certificate(makeTempDir('tls'), 'localhost');
    tokens = await tokenServer(pair, (user) => user === 'alice');
    registry = await startRegistry(authConfig(pair, tokens));
    name = `${registry.host}/team/app:1`;
    trust = { tls: { ca: readFileSync(pair.cert, 'utf8') }, trustedOrigins: [tokens.origin] };
    const store = await ImageStore.open({ root: makeTempDir('store') });
    const layers = [packTar([...entriesOf(busyboxRoot()), { type: 'file', path: 'from', content: 'the registry\n' }])];
    await store.create({ reference: name, layers, config: { Env: ['PATH=/bin'] } });
    await store.push(name, { auth, ...trust });
  });
  afterAll(async () => {
    tokens.stop();
    await registry.stop();
  });

  it('run with the authority and the login that the options give', async () =>
    expect(await run(name, { auth, ...trust })).toBe('the registry\n'));

  it('run without a check of the certificate, where that registry is named', async () => {
    const { trustedOrigins } = trust;
    expect(await run(name, { auth, trustedOrigins, insecure: [registry.host] })).toBe('the registry\n');
    await expect(run(name, { auth, trustedOrigins, insecure: ['other.test:5000'] })).rejects.toMatchObject({
      code: 'CTR_IMAGE_REGISTRY',
      hint: expect.stringContaining('certificate'),
    });
  });

  it('do not run without the login', async () =>
    expect(run(name, { auth: false, ...trust })).rejects.toMatchObject({ code: 'CTR_IMAGE_AUTH' }));

  it('come from a mirror, with the login of docker for it', async () => {
    const file = `${makeTempDir('auth')}/config.json`;
    const { writeFileSync } = await import('node:fs');
    writeFileSync(file, JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from('alice:wonderland').toString('base64') } } }));
    const before = process.env['REGISTRY_AUTH_FILE'];
    process.env['REGISTRY_AUTH_FILE'] = file;
    try {
      const mirrors = { 'upstream.invalid': [registry.host] };
      const { trustedOrigins } = trust;
      const options = { mirrors, trustedOrigins, insecure: [registry.host], retry: { attempts: 1 }, idleTimeoutMs: 30_000 };
      expect(await run('upstream.invalid/team/app:1', options)).toBe('the registry\n');
    } finally {
      if (before === undefined) delete process.env['REGISTRY_AUTH_FILE'];
      else process.env['REGISTRY_AUTH_FILE'] = before;
    }
  });

  it('take no layer that is larger than allowed', async () =>
    expect(run(name, { auth, ...trust, limits: { maxLayerBytes: 1000 } })).rejects.toMatchObject({ code: 'CTR_IMAGE_LIMIT' }));

  it('name a wrong option, and no secret', async () => {
    const wrong = { auth: { username: 'alice', passwort: 'wonderland' } } as unknown as RunOptions;
    const error = (await run(name, wrong).catch((e: Error) => e)) as Error;
    expect(error).toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: 'auth' });
    expect(`${error.message} ${error.stack}`).not.toContain('wonderland');
    await expect(run(name, { limits: { memory: '512m' } } as unknown as RunOptions)).rejects.toMatchObject({
      code: 'CTR_INVALID_ARGUMENT',
      hint: expect.stringContaining('resources'),
    });
    await expect(run(name, { mirrors: { 'docker.io': 'one.test' } } as unknown as RunOptions)).rejects.toMatchObject({
      path: 'mirrors["docker.io"]',
    });
  });
});
