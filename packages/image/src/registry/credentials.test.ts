// Case R-25: credentials go to the registry they were given for, and to no other that looks like it.
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it, vi } from 'vitest';
import { credentialFiles, findCredentials } from './credentials.js';

const dir = makeTempDir('credentials');
let count = 0;
function file(content: unknown): string {
  const name = path.join(dir, `${count++}.json`);
  writeFileSync(name, typeof content === 'string' ? content : JSON.stringify(content));
  return name;
}

const basic = (text: string): string => Buffer.from(text).toString('base64');
const auths = (entries: Record<string, unknown>): string => file({ auths: entries });
const find = async (registry: string, source: string, repository = 'team/app') =>
  (await findCredentials(registry, repository, [source])).auth;
const user = { username: 'u', password: 'p:w' };

describe('findCredentials', () => {
  it.each([
    ['a.example', 'a.example', true],
    ['https://a.example', 'a.example', true],
    ['https://a.example/', 'a.example', true],
    ['https://a.example/v1/', 'a.example', true],
    ['https://a.example/v2', 'a.example', true],
    ['A.Example', 'a.example', true],
    ['a.example:8443', 'a.example:8443', true],
    ['https://index.docker.io/v1/', 'docker.io', true],
    ['docker.io', 'docker.io', true],
    ['a.example', 'a.example.evil', false],
    ['a.example', 'evil-a.example', false],
    ['a.example', 'a.example:8443', false],
    ['a.example:8443', 'a.example', false],
    ['a.example.', 'a.example', false],
    ['xn--a-example', 'a.example', false],
    ['https://a.example@evil.example/', 'a.example', false],
    ['https://a.example@evil.example/', 'evil.example', false],
    ['https://index.docker.io/v1/', 'index.docker.io.evil', false],
    ['docker.io', 'quay.io', false],
    ['a.example/team', 'a.example', true],
    ['a.example/team/app', 'a.example', true],
    ['a.example/tea', 'a.example', false],
    ['a.example/team/app/x', 'a.example', false],
  ])('key %s for registry %s: %s', async (key, registry, matches) => {
    expect(await find(registry, auths({ [key]: { auth: basic('u:p:w') } }))).toEqual(matches ? user : undefined);
  });

  it('takes the longest key below a registry', async () => {
    const source = auths({ 'a.example': { auth: basic('wide:x') }, 'a.example/team': { auth: basic('team:x') } });
    expect(await find('a.example', source)).toMatchObject({ username: 'team' });
    expect(await find('a.example', source, 'other/app')).toMatchObject({ username: 'wide' });
  });

  it.each([
    [{ auth: basic('u:p:w') }, user],
    [{ auth: `${basic('u:p:w\0\0')}` }, user],
    [{ username: 'u', password: 'p:w' }, user],
    [{ auth: basic('u:x'), identitytoken: 'refresh' }, { identityToken: 'refresh' }],
    [{ registrytoken: 'bearer' }, { bearerToken: 'bearer' }],
    [{ auth: '' }, undefined],
    [{ auth: basic('nocolon') }, undefined],
    [{}, undefined],
  ])('reads the entry %j', async (entry, auth) => {
    expect(await find('a.example', auths({ 'a.example': entry }))).toEqual(auth);
  });

  it('asks the files in turn and passes over those that are not there', async () => {
    const files = [
      path.join(dir, 'absent.json'),
      auths({ other: { auth: basic('x:y') } }),
      auths({ 'a.example': { auth: basic('u:p:w') } }),
    ];
    expect((await findCredentials('a.example', 'r', files)).auth).toEqual(user);
  });

  it('names the credential helper that it cannot ask', async () => {
    // A folder of PATH that this user may not enter would be what is told.
    vi.stubEnv('PATH', '/usr/bin:/bin');
    const source = file({ credsStore: 'desktop', credHelpers: { 'a.example': 'ecr-login' } });
    expect(await findCredentials('a.example', 'r', [source])).toEqual({
      auth: undefined,
      helper: 'ecr-login',
      problem: 'it is not installed',
    });
    expect(await findCredentials('b.example', 'r', [source])).toMatchObject({ auth: undefined, helper: 'desktop' });
    vi.unstubAllEnvs();
  });

  it.each(['not json: hunter2', '[]', '{"auths":[]}', '{"auths":{"a.example":{"auth":5}}}'])(
    'refuses the file %j without showing it',
    async (content) => {
      const error = await findCredentials('a.example', 'r', [file(content)]).catch((e: Error) => e);
      expect(error).toMatchObject({ name: 'ImageError' });
      expect(String(error)).not.toContain('hunter2');
    },
  );

  it('passes over a file that this user may not read, and names it', async () => {
    const mine = auths({ 'a.example': { auth: basic('u:p:w') } });
    const theirs = auths({ 'a.example': { auth: basic('x:y') } });
    chmodSync(theirs, 0);
    const asRoot = process.geteuid?.() === 0;
    chmodSync(dir, 0o755);
    // Root may read everything.
    if (asRoot) process.seteuid?.(65534);
    try {
      expect(await findCredentials('a.example', 'r', [theirs])).toEqual({
        auth: undefined,
        helper: undefined,
        problem: undefined,
        unreadable: theirs,
      });
      expect((await findCredentials('a.example', 'r', [theirs, mine])).auth).toEqual(user);
    } finally {
      if (asRoot) process.seteuid?.(0);
    }
  });

  it('does not wait for a FIFO or read a directory', async () => {
    const sub = path.join(dir, 'sub');
    mkdirSync(sub);
    await expect(findCredentials('a.example', 'r', [sub])).rejects.toMatchObject({ code: 'CTR_IMAGE_AUTH' });
  });

  it('looks where docker and podman look', () => {
    expect(credentialFiles({ DOCKER_CONFIG: '/d', XDG_RUNTIME_DIR: '/run/user/1', REGISTRY_AUTH_FILE: '/r.json' }, '/home/u')).toEqual([
      '/r.json',
      '/d/config.json',
      '/run/user/1/containers/auth.json',
      '/home/u/.config/containers/auth.json',
      '/home/u/.docker/config.json',
    ]);
  });
});
