// The meaning of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, as Go's httpproxy documents it.
import { describe, expect, it } from 'vitest';
import { parseProxy, proxyRules } from './proxy.js';

const chosen = (url: string, env: Record<string, string>, proxy?: string | false) => proxyRules(proxy, env)(new URL(url))?.href;

describe('proxyRules', () => {
  const env = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'http://secure:2' };
  it.each([
    ['https://a.example/', 'http://secure:2/'],
    ['http://a.example/', 'http://plain:1/'],
    ['http://localhost:5000/', undefined],
    ['http://127.0.0.1:5000/', undefined],
    ['https://[::1]/', undefined],
  ])('%s goes through %s', (url, proxy) => expect(chosen(url, env)).toBe(proxy));

  it('takes lower case as well, and host:port for http', () => {
    expect(chosen('https://a.example/', { https_proxy: 'p:3128' })).toBe('http://p:3128/');
  });
  it('does not believe HTTP_PROXY in a CGI program', () => {
    expect(chosen('http://a.example/', { ...env, REQUEST_METHOD: 'GET' })).toBeUndefined();
  });
  it('the option wins over the environment', () => {
    expect(chosen('https://a.example/', env, 'http://mine:9')).toBe('http://mine:9/');
    expect(chosen('https://a.example/', env, false)).toBeUndefined();
  });
  it.each([
    ['*', 'https://a.example/', true],
    ['a.example', 'https://a.example/', true],
    ['a.example', 'https://sub.a.example/', true],
    ['a.example', 'https://nota.example/', false],
    ['.a.example', 'https://a.example/', false],
    ['.a.example', 'https://sub.a.example/', true],
    ['*.a.example', 'https://sub.a.example/', true],
    ['a.example:443', 'https://a.example/', true],
    ['a.example:8443', 'https://a.example/', false],
    ['A.EXAMPLE', 'https://a.example/', true],
    ['10.0.0.0/8', 'https://10.1.2.3:5000/', true],
    ['10.0.0.0/8', 'https://11.1.2.3/', false],
    ['10.1.2.3', 'https://10.1.2.3/', true],
    ['10.1.2.3:80', 'https://10.1.2.3/', false],
    ['fd00::/8', 'https://[fd00::1]/', true],
    ['[fd00::1]:443', 'https://[fd00::1]/', true],
    ['x.example, ,b.example', 'https://b.example/', true],
    ['10.0.0.0/99', 'https://10.1.2.3/', false],
  ])('NO_PROXY=%s for %s', (list, url, direct) =>
    expect(chosen(url, { ...env, NO_PROXY: list })).toBe(direct ? undefined : 'http://secure:2/'),
  );
});

it.each(['socks5://p:1', 'file:///etc', 'http://', '::'])('parseProxy refuses %s, and does not repeat it', (text) => {
  expect(() => parseProxy(text)).toThrow(
    expect.objectContaining({ code: 'CTR_IMAGE_REGISTRY', message: expect.not.stringContaining(text) }),
  );
});
