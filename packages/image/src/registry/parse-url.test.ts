import { expect, it } from 'vitest';
import { parseUrl } from './parse-url.js';

it('is a URL or undefined, also after V8 has compiled the call', () => {
  for (let i = 0; i < 100_000; i++) {
    if (parseUrl('http://\xdb\x80') !== undefined) throw new Error(`a URL at call ${i}`);
  }
  expect(parseUrl('http://\xfc.example/')?.host).toBe('xn--tda.example');
  expect(parseUrl('x', new URL('http://a.example/b/c'))?.href).toBe('http://a.example/b/x');
  expect(parseUrl('')).toBeUndefined();
});
