// Cases R-01, R-02, R-04, R-05, R-09, R-10, R-26: who gets our credentials, whom we ask for tokens, and what never shows.
import { inspect } from 'node:util';
import { makeTempDir } from '@ctr/internal/testing';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CtrError, ImageStore, type PullOptions } from '../src/index.js';
import { FakeRegistry, type Handler, putImage, raw, reply } from './support/fake-registry.js';
import { spoolSink } from './support/spool-sink.js';

const SECRET = 'hunter2-marked-secret';
const TOKEN = 'token-marked-secret';
const USER = { username: 'alice', password: SECRET };
const basic = `Basic ${Buffer.from(`alice:${SECRET}`).toString('base64')}`;

let registry: FakeRegistry;
let other: FakeRegistry;

beforeAll(async () => {
  [registry, other] = await Promise.all([FakeRegistry.start(), FakeRegistry.start()]);
  await putImage(registry, 'team/app');
});
beforeEach(() => {
  registry.reset();
  other.reset();
});

const options: PullOptions = { retry: { attempts: 2, baseDelayMs: 1, maxDelayMs: 5 }, auth: false };

async function pull(more: PullOptions = {}) {
  const store = await ImageStore.open({ root: makeTempDir('store') });
  return store.pull(`${registry.host}/team/app`, { ...options, sink: spoolSink(), ...more });
}

const failure = (more: PullOptions = {}): Promise<CtrError> =>
  pull(more).then(
    () => expect.unreachable('it should have failed'),
    (e: CtrError) => e,
  );

/** Demands a bearer token and gives it out at /token. */
const bearer = (o: { realm?: string; tokenAnswer?: Handler; accept?: (header: string | undefined) => boolean } = {}): Handler => {
  return async (req, res) => {
    if (req.url?.startsWith('/token'))
      return (await o.tokenAnswer?.(req, res)) ?? reply(res, 200, JSON.stringify({ token: TOKEN, expires_in: 300 }));
    const accepted = (o.accept ?? ((h) => h === `Bearer ${TOKEN}`))(req.headers.authorization);
    if (req.url === '/v2/' || accepted) return false;
    res
      .writeHead(401, {
        'www-authenticate': `Bearer realm="${o.realm ?? `${registry.origin}/token`}",service="fake",scope="repository:team/app:pull"`,
      })
      .end();
    return true;
  };
};

describe('authentication', () => {
  it('gets an anonymous token once and uses it for everything', async () => {
    registry.handler = bearer();
    await pull();
    expect(registry.paths().filter((p) => p.includes('/token'))).toEqual([`GET /token?service=fake&scope=repository%3Ateam%2Fapp%3Apull`]);
    expect(registry.requests.filter((r) => r.headers.authorization === undefined).map((r) => r.path)).toEqual([
      '/v2/',
      '/v2/team/app/manifests/latest',
      expect.stringContaining('/token'),
    ]);
  });

  it('keeps the token for the next pull of the store', async () => {
    registry.handler = bearer();
    const store = await ImageStore.open({ root: makeTempDir('store') });
    for (let i = 0; i < 2; i++) await store.pull(`${registry.host}/team/app`, { ...options, policy: 'always' });
    expect(registry.paths().filter((p) => p.includes('/token'))).toHaveLength(1);
  });

  it('sends the user name and password to the token server, and only the token to the registry', async () => {
    registry.handler = bearer();
    await pull({ auth: USER });
    for (const r of registry.requests)
      expect(r.headers.authorization).toBeOneOf(r.path.startsWith('/token') ? [basic] : [undefined, `Bearer ${TOKEN}`]);
  });

  it('posts an identity token, which must not be in a URL', async () => {
    let posted = '';
    registry.handler = bearer({
      tokenAnswer: async (req, res) => {
        for await (const chunk of req) posted += chunk;
        res.end(JSON.stringify({ access_token: TOKEN }));
        return true;
      },
    });
    await pull({ auth: { identityToken: SECRET } });
    expect(Object.fromEntries(new URLSearchParams(posted))).toEqual({
      grant_type: 'refresh_token',
      refresh_token: SECRET,
      client_id: 'ctr-image',
      scope: 'repository:team/app:pull',
      service: 'fake',
    });
    expect(registry.paths().join()).not.toContain(SECRET);
  });

  it('answers a Basic challenge, and sends a bearer token of the user as it is', async () => {
    registry.handler = (req, res) => {
      if (req.url === '/v2/' || req.headers.authorization === basic) return false;
      res.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    };
    await pull({ auth: USER });
    registry.handler = (req, res) => {
      if (req.url === '/v2/' || req.headers.authorization === 'Bearer mine') return false;
      res.writeHead(401).end();
      return true;
    };
    await pull({ auth: { bearerToken: 'mine' } });
  });

  it('gets a new token when the old one is refused', async () => {
    let issued = 0;
    registry.handler = bearer({
      tokenAnswer: (_, res) => {
        res.end(JSON.stringify({ token: `t${++issued}` }));
        return true;
      },
      accept: (header) => header === 'Bearer t2',
    });
    await pull();
    expect(issued).toBe(2);
  });

  it('reports refused credentials with a hint', async () => {
    registry.handler = bearer({
      tokenAnswer: (_, res) => {
        res.writeHead(401).end();
        return true;
      },
    });
    expect(await failure()).toMatchObject({ code: 'CTR_IMAGE_AUTH', status: 401, hint: expect.stringContaining('docker login') });
    expect(await failure({ auth: USER })).toMatchObject({ code: 'CTR_IMAGE_AUTH', hint: expect.stringContaining('password') });
  });

  it('names the credential helper that holds the password', async () => {
    const { writeFileSync } = await import('node:fs');
    const home = makeTempDir('docker-config');
    writeFileSync(`${home}/config.json`, JSON.stringify({ credHelpers: { [registry.host]: 'pass' } }));
    registry.handler = (req, res) => req.url !== '/v2/' && reply(res, 401, '', { 'www-authenticate': 'Basic realm="x"' });
    const before = process.env['DOCKER_CONFIG'];
    process.env['DOCKER_CONFIG'] = home;
    try {
      const { auth: _, ...found } = options;
      const store = await ImageStore.open({ root: makeTempDir('store') });
      await expect(store.pull(`${registry.host}/team/app`, found)).rejects.toMatchObject({
        code: 'CTR_IMAGE_AUTH',
        hint: expect.stringContaining('docker-credential-pass'),
      });
      writeFileSync(
        `${home}/config.json`,
        JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from(`alice:${SECRET}`).toString('base64') } } }),
      );
      registry.handler = (req, res) =>
        req.url !== '/v2/' && req.headers.authorization !== basic && reply(res, 401, '', { 'www-authenticate': 'Basic realm="x"' });
      await store.pull(`${registry.host}/team/app`, found);
    } finally {
      if (before === undefined) delete process.env['DOCKER_CONFIG'];
      else process.env['DOCKER_CONFIG'] = before;
    }
  });
});

describe('R-01, R-02: the token server that a registry names', () => {
  it.each([
    () => `${other.origin}/token`,
    () => `http://localhost:${other.host.split(':')[1]}/token`,
    () => `http://[::1]:${other.host.split(':')[1]}/token`,
    () => `http://0:${other.host.split(':')[1]}/token`,
    () => `http://2130706433:${other.host.split(':')[1]}/token`,
    () => `http://[::ffff:127.0.0.1]:${other.host.split(':')[1]}/token`,
    () => 'http://169.254.169.254/latest',
    () => 'https://169.254.169.254/latest',
    () => 'https://10.0.0.1/token',
    () => 'file:///etc/passwd',
    () => '/token',
    () => '',
    () => `http://u:p@${registry.host}/token`,
  ])('is refused: %s', async (realm) => {
    registry.handler = bearer({ realm: realm() });
    const error = await failure({ auth: USER });
    expect(error).toBeInstanceOf(Error);
    expect(error.code).toBeOneOf(['CTR_IMAGE_AUTH', 'CTR_IMAGE_REGISTRY']);
    expect(error.message).toMatch(/refused/);
    expect(other.requests).toEqual([]);
  });

  it('is asked when the user trusts its origin', async () => {
    registry.handler = bearer({ realm: `${other.origin}/token` });
    other.handler = bearer();
    await pull({ trustedOrigins: [other.origin] });
    expect(other.paths()).toHaveLength(1);
  });
});

describe('R-09: what a token server may answer', () => {
  const answers: [string, Handler][] = [
    ['100 MiB', (_, res) => reply(res, 200, Buffer.alloc(2 ** 20), { 'content-length': String(100 * 2 ** 20) })],
    ['an endless stream', endless],
    ['token: {}', (_, res) => reply(res, 200, '{"token":{}}')],
    ['no token', (_, res) => reply(res, 200, '{}')],
    ['an empty token', (_, res) => reply(res, 200, '{"token":""}')],
    ['a token with a line end', (_, res) => reply(res, 200, '{"token":"a\\r\\nx-evil: 1"}')],
    ['HTML', (_, res) => reply(res, 200, '<html>log in</html>')],
    ['an array', (_, res) => reply(res, 200, '[]')],
    ['a redirect', (_, res) => reply(res, 302, '', { location: `${other.origin}/token` })],
    ['404', (_, res) => reply(res, 404)],
  ];
  it.each(answers)('%s ends in a typed error', async (_, tokenAnswer) => {
    registry.handler = bearer({ tokenAnswer });
    expect((await failure({ auth: USER })).code).toBeOneOf(['CTR_IMAGE_AUTH', 'CTR_IMAGE_LIMIT']);
    expect(other.requests).toEqual([]);
  });

  it.each([-1, '1e308', 'abc', null, 1e308])('expires_in %j does no harm', async (expires) => {
    registry.handler = bearer({
      tokenAnswer: (_, res) => {
        res.end(`{"token":"${TOKEN}","expires_in":${JSON.stringify(expires)}}`);
        return true;
      },
    });
    await pull();
  });

  function endless(_: unknown, res: import('node:http').ServerResponse): boolean {
    const more = (): void => void (res.destroyed || res.write(' '.repeat(65_536), () => setImmediate(more)));
    more();
    return true;
  }
});

it('R-10: gives up after three rounds, whatever the registry says each time', async () => {
  let rounds = 0;
  registry.handler = (req, res) => {
    if (req.url?.startsWith('/token')) return reply(res, 200, JSON.stringify({ token: `fresh-${rounds}` }));
    if (req.url === '/v2/') return false;
    rounds++;
    res.writeHead(401, { 'www-authenticate': `Bearer realm="${registry.origin}/token",scope="repository:x${rounds}:pull"` }).end();
    return true;
  };
  expect(await failure()).toMatchObject({ code: 'CTR_IMAGE_AUTH' });
  expect(rounds).toBe(4);
  expect(registry.paths().filter((p) => p.includes('/token'))).toHaveLength(3);
});

describe('R-04, R-05: redirects', () => {
  const redirect =
    (location: string, status = 307): Handler =>
    (req, res) =>
      req.url?.includes('/blobs/') === true &&
      !req.url.startsWith('/elsewhere') &&
      reply(res, status, '', { location: location + req.url });
  const chain =
    (...handlers: Handler[]): Handler =>
    async (req, res) => {
      for (const handler of handlers) if (await handler(req, res)) return true;
      return false;
    };

  it.each([301, 302, 303, 307, 308])('%d to another origin goes without credentials', async (status) => {
    await putImage(other, 'team/app');
    registry.handler = chain(bearer(), redirect(other.origin, status));
    await pull({ auth: USER });
    const blobs = other.requests.filter((r) => r.path.includes('/blobs/'));
    expect(blobs).toHaveLength(2);
    for (const r of blobs) expect([r.headers.authorization, r.headers.cookie]).toEqual([undefined, undefined]);
  });

  it('credentials stay away after a way out and back', async () => {
    registry.handler = chain(
      (req, res) => {
        if (!req.url?.startsWith('/back')) return false;
        expect(req.headers.authorization).toBeUndefined();
        req.url = req.url.slice(5);
        return redirectAway(req, res);
      },
      bearer(),
      redirect(other.origin),
    );
    const redirectAway: Handler = (_, res) => reply(res, 404);
    other.handler = (req, res) => reply(res, 307, '', { location: `${registry.origin}/back${req.url}` });
    expect(await failure({ auth: USER })).toMatchObject({ code: 'CTR_IMAGE_NOT_FOUND' });
  });

  it('within the registry keeps them', async () => {
    registry.handler = chain(
      (req, res) =>
        req.headers.authorization === `Bearer ${TOKEN}` &&
        req.url?.includes('/blobs/sha256') === true &&
        !req.url.includes('?x') &&
        reply(res, 307, '', { location: `${req.url}?x` }),
      bearer(),
      (req) => {
        req.url = req.url?.replace('?x', '') ?? '';
        return false;
      },
    );
    await pull({ auth: USER });
  });

  it('what comes by a redirect is verified all the same', async () => {
    registry.handler = redirect(other.origin);
    other.handler = (_, res) => reply(res, 200, 'something else');
    expect(await failure()).toMatchObject({ code: 'CTR_IMAGE_DIGEST_MISMATCH' });
  });

  it.each([
    'http://169.254.169.254',
    'http://10.0.0.1',
    'http://192.168.0.1',
    'http://[fe80::1]',
    'http://224.0.0.1',
    'http://0.0.0.0:1',
    'file:///etc',
    'ftp://127.0.0.1',
    'data:text/plain,',
    'http://u:p@127.0.0.1',
  ])('to %s is refused', async (location) => {
    registry.handler = redirect(location);
    expect(await failure()).toMatchObject({ code: 'CTR_IMAGE_REGISTRY', message: expect.stringMatching(/refused/) });
  });

  it('in a circle ends', async () => {
    registry.handler = (req, res) => req.url?.includes('/blobs/') === true && reply(res, 307, '', { location: req.url });
    expect(await failure()).toMatchObject({ code: 'CTR_IMAGE_REGISTRY', message: expect.stringContaining('redirects') });
  });

  it.each(['', 'http://', '::'])('to nowhere (%j) is refused', async (location) => {
    registry.handler = (req, res) => req.url?.includes('/blobs/') === true && reply(res, 307, '', { location });
    expect((await failure()).code).toBe('CTR_IMAGE_REGISTRY');
  });
});

describe('R-26: secrets never show', () => {
  const leaky: [string, Handler][] = [
    [
      'a registry that quotes the header',
      (req, res) =>
        req.url !== '/v2/' &&
        reply(res, 403, JSON.stringify({ errors: [{ code: 'DENIED', message: `you sent ${req.headers.authorization}` }] })),
    ],
    [
      'a registry that breaks HTTP with it',
      (req, res) => req.url !== '/v2/' && raw(res, `HTTP/1.1 nonsense ${req.headers.authorization}\r\n\r\n`),
    ],
    ['a token server that quotes it', bearer({ tokenAnswer: (req, res) => reply(res, 401, String(req.headers.authorization)) })],
    [
      'a token server that returns it',
      bearer({ tokenAnswer: (req, res) => reply(res, 200, JSON.stringify({ token: `${req.headers.authorization} x` })) }),
    ],
    ['a refused token', bearer({ accept: () => false })],
    [
      'a redirect with a signature',
      (req, res) => req.url !== '/v2/' && reply(res, 307, '', { location: `http://10.0.0.1/?signature=${SECRET}` }),
    ],
    ['a realm with a secret', bearer({ realm: `http://10.0.0.1/?secret=${SECRET}`, accept: () => false })],
  ];

  it.each(leaky)('%s', async (_, handler) => {
    const challenge = bearer();
    registry.handler = async (req, res) => {
      if (req.headers.authorization === undefined && !req.url?.startsWith('/token') && req.url !== '/v2/') return challenge(req, res);
      return (await handler(req, res)) || challenge(req, res);
    };
    const error = await failure({ auth: USER });
    const shown = [
      inspect(error, { depth: 20, showHidden: true, getters: true }),
      error.stack,
      JSON.stringify(error),
      String(error.cause),
    ].join();
    for (const secret of [SECRET, TOKEN, basic.slice(6)]) expect(shown).not.toContain(secret);
  });

  it('also not in the error about a bad auth option', async () => {
    const error = await failure({ auth: { username: 'a', passwort: SECRET } as unknown as { username: string; password: string } });
    expect(error.code).toBe('CTR_INVALID_ARGUMENT');
    expect(inspect(error)).not.toContain(SECRET);
  });
});
