// References: Docker's short names, and case R-27: nothing that could inject into a path or a header gets through.
import { describe, expect, it } from 'vitest';
import { isRegistry, parseReference } from './reference.js';

const sha = `sha256:${'a'.repeat(64)}`;

describe('parseReference', () => {
  it.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['debian:12', 'docker.io/library/debian:12'],
    ['library/debian', 'docker.io/library/debian:latest'],
    ['user/app:v1.0_x-Y', 'docker.io/user/app:v1.0_x-Y'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/debian', 'docker.io/library/debian:latest'],
    ['registry-1.docker.io/library/debian', 'docker.io/library/debian:latest'],
    ['Docker.IO/debian', 'docker.io/library/debian:latest'],
    ['ghcr.io/owner/app/sub', 'ghcr.io/owner/app/sub:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/app', 'localhost:5000/app:latest'],
    ['127.0.0.1:5000/app:1', '127.0.0.1:5000/app:1'],
    ['[::1]:5000/app:1', '[::1]:5000/app:1'],
    ['localhost:5000', 'docker.io/library/localhost:5000'],
    ['host:80/a', 'host:80/a:latest'],
    ['a.b/c', 'a.b/c:latest'],
    ['host/app', 'docker.io/host/app:latest'],
    [`debian@${sha}`, `docker.io/library/debian@${sha}`],
    [`debian:12@${sha}`, `docker.io/library/debian@${sha}`],
    ['my__app/a.b-c---d', 'docker.io/my__app/a.b-c---d:latest'],
  ])('completes %s to %s', (short, full) => {
    expect(parseReference(short).name).toBe(full);
    expect(parseReference(full).name).toBe(full);
  });

  it('gives the parts', () => {
    expect(parseReference('localhost:5000/team/app:1')).toEqual({
      registry: 'localhost:5000',
      repository: 'team/app',
      tag: '1',
      digest: undefined,
      name: 'localhost:5000/team/app:1',
    });
    expect(parseReference(`debian:12@${sha}`)).toMatchObject({ tag: undefined, digest: sha });
  });

  it.each([
    '',
    ' debian',
    'debian ',
    'Debian',
    'debian:',
    'debian:-x',
    'debian:.x',
    `debian:${'x'.repeat(129)}`,
    'debian:1:2',
    'debian@',
    'debian@sha256:abc',
    `debian@md5:${'a'.repeat(32)}`,
    `debian@${sha}@${sha}`,
    `debian@${sha}:tag`,
    'a/../b',
    '../b',
    './b',
    'a//b',
    'a/',
    '/a',
    'a/.',
    'a/-b',
    'a/b-',
    'a/b..c',
    'a/b___c',
    'a%2f..%2fb',
    'a\r\nHost: evil',
    'a\0b',
    'a?b=c',
    'a#b',
    'ä',
    'ａｐｐ',
    'host:/app',
    'host:0/app',
    'host:65536/app',
    'host:port/app',
    'ho_st.x/app',
    '-host.x/app',
    'host.x./app',
    'user@host.x/app',
    'http://host/app',
    'REGISTRY/app',
    '[::1/app',
    '[fe80::1%eth0]:5000/app',
    '[::1%99]/app',
    '[zz]:1/app',
    '[..1]:1/app',
    '999.1.1.1/app',
    '0x7f.1/app',
    '127.1/app',
    'a'.repeat(64).replaceAll('a', 'f'),
    'x'.repeat(10_000),
    `a/${'x'.repeat(255)}`,
  ])('refuses %j', (text) => {
    expect(() => parseReference(text)).toThrow(expect.objectContaining({ code: 'CTR_INVALID_ARGUMENT', path: 'reference' }));
  });

  it.each([undefined, null, 1, {}, []])('refuses %j, which is no string', (value) => {
    expect(() => parseReference(value as unknown as string)).toThrow(expect.objectContaining({ code: 'CTR_INVALID_ARGUMENT' }));
  });

  it('says why', () => {
    expect(() => parseReference('myApp')).toThrowErrorMatchingInlineSnapshot(
      `[InvalidArgumentError: expected "reference" to be an image reference like "debian:12", "ghcr.io/owner/app@sha256:…" or "localhost:5000/app" (repository names are lower case), received "myApp" (string)]`,
    );
  });

  it('lets no random text through that could leave its place in a URL', () => {
    const alphabet = ['a', 'Z', '0', '/', ':', '@', '.', '-', '_', '%', '\r', '\n', '\0', ' ', '[', ']', '?', '#', '\\', 'é', '..', sha];
    let seed = 1;
    const random = (n: number): number => {
      seed = (seed * 1103515245 + 12345) % 2 ** 31;
      return seed % n;
    };
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: 1 + random(8) }, () => alphabet[random(alphabet.length)]).join('');
      let parsed: ReturnType<typeof parseReference>;
      try {
        parsed = parseReference(text);
      } catch (error) {
        expect((error as { code: string }).code).toBe('CTR_INVALID_ARGUMENT');
        continue;
      }
      expect(isRegistry(parsed.registry)).toBe(true);
      expect(`/v2/${parsed.repository}/manifests/${parsed.digest ?? parsed.tag}`).toMatch(
        /^\/v2(\/[a-z0-9]+([._-]+[a-z0-9]+)*)+\/manifests\/[\w.:-]+$/,
      );
      const url = new URL(`https://${parsed.registry}/v2/${parsed.repository}/`);
      expect([url.username, url.search, url.hash, url.pathname]).toEqual(['', '', '', `/v2/${parsed.repository}/`]);
      expect(parseReference(parsed.name)).toEqual(parsed);
    }
  });
});
