// Case R-02: which token servers a registry may name.
import { describe, expect, it } from 'vitest';
import { parseRealm, TokenCache } from './token.js';

const registry = new URL('https://registry.example/');
const local = new URL('http://127.0.0.1:5000/');

describe('parseRealm', () => {
  it.each([
    ['https://auth.example/token', registry],
    ['https://registry.example/token?x=1', registry],
    ['http://127.0.0.1:5000/token', local],
    ['https://auth.example/', local],
  ])('accepts %s', (realm, from) => {
    expect(parseRealm(realm, from, new Set()).href).toBe(realm);
  });

  it.each([
    ['http://auth.example/token', registry],
    ['http://registry.example/token', registry],
    ['http://127.0.0.1:5001/token', local],
    ['http://localhost:5000/token', local],
    ['http://[::1]:5000/token', local],
    ['http://169.254.169.254/', registry],
    ['file:///etc/passwd', registry],
    ['data:text/plain,x', registry],
    ['ftp://auth.example/', registry],
    ['javascript:1', registry],
    ['', registry],
    [undefined, registry],
    ['/token', registry],
    ['//auth.example/token', registry],
    ['token', registry],
    ['https://user:pass@auth.example/', registry],
    ['https://user@registry.example/', registry],
    ['https://', registry],
  ])('refuses %s', (realm, from) => {
    expect(() => parseRealm(realm, from, new Set())).toThrow(expect.objectContaining({ code: 'CTR_IMAGE_AUTH' }));
  });

  it('accepts an origin that the user named', () => {
    expect(parseRealm('http://127.0.0.1:5001/token', local, new Set(['http://127.0.0.1:5001'])).port).toBe('5001');
  });
});

describe('TokenCache', () => {
  const question = { realm: registry, service: 's', scopes: ['b', 'a'], auth: undefined };
  const token = (value: string, lifeMs = 60_000) => ({ value, expiresAt: performance.now() + lifeMs });

  it('shares one request and keeps its answer', async () => {
    const cache = new TokenCache();
    let asked = 0;
    const request = async () => token(String(++asked));
    expect(await Promise.all([cache.get('k', request), cache.get('k', request)])).toEqual(['1', '1']);
    expect(await cache.get('k', request)).toBe('1');
    cache.drop('k', 'other');
    expect(await cache.get('k', request)).toBe('1');
    cache.drop('k', '1');
    expect(await cache.get('k', request)).toBe('2');
  });

  it('asks again after a failure and after the time is up', async () => {
    const cache = new TokenCache();
    await expect(cache.get('k', async () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await cache.get('k', async () => token('old', -1))).toBe('old');
    expect(await cache.get('k', async () => token('new'))).toBe('new');
  });

  it('tells users, registries and scopes apart, but not their order', () => {
    const key = TokenCache.key(registry, question);
    expect(TokenCache.key(registry, { ...question, scopes: ['a', 'b'] })).toBe(key);
    expect(TokenCache.key(local, question)).not.toBe(key);
    const withUser = TokenCache.key(registry, { ...question, auth: { username: 'u', password: 'hunter2' } });
    expect(withUser).not.toBe(key);
    expect(withUser).not.toContain('hunter2');
  });
});
