// Case R-14: digest strings that must never become a path or a URL.
import { describe, expect, it } from 'vitest';
import { Digester, digestOf, isDigest, parseDigest, splitDigest } from './digest.js';

const hex = 'a'.repeat(64);

describe('parseDigest', () => {
  it.each([`sha256:${hex}`, `sha512:${'0'.repeat(128)}`])('takes %s', (text) => {
    expect(parseDigest(text)).toBe(text);
  });

  it.each([
    '',
    'sha256:',
    hex,
    `md5:${'a'.repeat(32)}`,
    `sha1:${'a'.repeat(40)}`,
    `sha384:${'a'.repeat(96)}`,
    `sha256:${'a'.repeat(63)}`,
    `sha256:${'a'.repeat(65)}`,
    `sha256:${'A'.repeat(64)}`,
    `SHA256:${hex}`,
    `sha256:${'g'.repeat(64)}`,
    `sha256:${hex}\n`,
    `\nsha256:${hex}`,
    `sha256:${'a'.repeat(63)}\0`,
    `sha256:../${'a'.repeat(61)}`,
    'sha256:../x',
    `foo+bar:${hex}`,
    `sha256+b64u:${hex}`,
    `sha256:${hex}:${hex}`,
    `sha512:${hex}`,
    42,
    null,
    undefined,
    {},
  ])('refuses %j', (text) => {
    expect(isDigest(text)).toBe(false);
    expect(() => parseDigest(text, 'layers[0].digest')).toThrow(expect.objectContaining({ code: 'CTR_IMAGE_INVALID' }));
  });

  it('names the place and shows the value shortly', () => {
    expect(() => parseDigest(`md5:${'x'.repeat(500)}`, 'config.digest')).toThrowErrorMatchingInlineSnapshot(`
      [ImageError: config.digest is no digest that can be used: "md5:xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        hint: a digest is sha256: or sha512: and 64 or 128 lower-case hexadecimal digits]
    `);
  });
});

describe('digesting', () => {
  it('agrees with the known values of sha256 and sha512', () => {
    expect(digestOf('')).toBe('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(digestOf('abc', 'sha512').slice(0, 30)).toBe('sha512:ddaf35a193617abacc41734');
  });

  it('gives the same for a stream in pieces', () => {
    const digester = new Digester();
    for (const piece of ['a', '', 'bc']) digester.update(Buffer.from(piece));
    expect(digester.bytes).toBe(3);
    expect(digester.digest()).toBe(digestOf('abc'));
  });

  it('splits into what a path is made of', () => {
    expect(splitDigest(parseDigest(`sha256:${hex}`))).toEqual({ algorithm: 'sha256', hex });
  });
});
