// Cases and V53: hostile manifests and indexes. What a document is follows from its bytes alone.
import { describe, expect, it } from 'vitest';
import { parseDocument } from './manifest.js';
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST } from './media-types.js';

const digest = `sha256:${'a'.repeat(64)}`;
const layer = { mediaType: OCI_LAYER_GZIP, digest, size: 5 };
const config = { mediaType: OCI_CONFIG, digest, size: 2 };
const manifest = { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  mediaType: OCI_INDEX,
  manifests: [{ mediaType: OCI_MANIFEST, digest, size: 1, platform: { os: 'linux', architecture: 'amd64' } }],
};

const parse = (doc: unknown, announced?: string) =>
  parseDocument(Buffer.from(typeof doc === 'string' ? doc : JSON.stringify(doc)), announced);
const invalid = expect.objectContaining({ code: 'CTR_IMAGE_INVALID' });

describe('parseDocument', () => {
  it('reads a manifest', () => {
    expect(parse({ ...manifest, annotations: { a: 'b' } }, `${OCI_MANIFEST}; charset=utf-8`)).toEqual({
      kind: 'manifest',
      mediaType: OCI_MANIFEST,
      config: { ...config, annotations: {} },
      layers: [{ ...layer, annotations: {} }],
      annotations: { a: 'b' },
    });
  });

  it('reads an index', () => {
    expect(parse(index, OCI_INDEX)).toEqual({
      kind: 'index',
      mediaType: OCI_INDEX,
      manifests: [
        { mediaType: OCI_MANIFEST, digest, size: 1, annotations: {}, platform: { os: 'linux', architecture: 'amd64', variant: undefined } },
      ],
    });
  });

  it.each([
    ['no mediaType, known header', { ...manifest, mediaType: undefined }, OCI_MANIFEST, 'manifest'],
    ['no mediaType, header of no meaning', { ...manifest, mediaType: undefined }, 'text/plain', 'manifest'],
    ['no mediaType, no header', { ...index, mediaType: undefined }, undefined, 'index'],
    ['Docker manifest', { ...manifest, mediaType: DOCKER_MANIFEST }, DOCKER_MANIFEST, 'manifest'],
    ['Docker list', { ...index, mediaType: DOCKER_LIST }, DOCKER_LIST, 'index'],
    ['no layers at all', { ...manifest, layers: [] }, OCI_MANIFEST, 'manifest'],
    ['null annotations', { ...manifest, annotations: null }, OCI_MANIFEST, 'manifest'],
    ['platform that says nothing', { ...index, manifests: [{ ...index.manifests[0], platform: {} }] }, OCI_INDEX, 'index'],
  ])('accepts: %s', (_, doc, announced, kind) => {
    expect(parse(doc, announced).kind).toBe(kind);
  });

  it.each([
    ['both manifests and layers', { ...manifest, manifests: [] }, OCI_MANIFEST],
    ['both, without mediaType', { ...manifest, mediaType: undefined, manifests: [] }, undefined],
    ['both, the second null', { ...index, layers: null }, OCI_INDEX],
    ['a manifest with an index mediaType', { ...manifest, mediaType: OCI_INDEX }, OCI_INDEX],
    ['an index with a manifest mediaType', { ...index, mediaType: OCI_MANIFEST }, OCI_MANIFEST],
    ['a manifest sent as an index', manifest, OCI_INDEX],
    ['a manifest without mediaType sent as an index', { ...manifest, mediaType: undefined }, DOCKER_LIST],
    ['an OCI manifest sent as Docker’s', manifest, DOCKER_MANIFEST],
    ['an unknown mediaType', { ...manifest, mediaType: 'application/x' }, OCI_MANIFEST],
    ['a mediaType that is no string', { ...manifest, mediaType: 5 }, OCI_MANIFEST],
    ['schema 1 by number', { schemaVersion: 1, name: 'x', fsLayers: [] }, undefined],
    ['schema 1 by header', { name: 'x' }, 'application/vnd.docker.distribution.manifest.v1+prettyjws'],
    ['schemaVersion missing', { ...manifest, schemaVersion: undefined }, OCI_MANIFEST],
    ['schemaVersion as text', { ...manifest, schemaVersion: '2' }, OCI_MANIFEST],
    ['no config', { ...manifest, config: undefined }, OCI_MANIFEST],
    ['null config', { ...manifest, config: null }, OCI_MANIFEST],
    ['layers that are no array', { ...manifest, layers: {} }, OCI_MANIFEST],
    ['a null layer', { ...manifest, layers: [null] }, OCI_MANIFEST],
    ['an empty object', {}, undefined],
    ['an array', [], undefined],
    ['null', null, undefined],
    ['a number', 5, undefined],
    ['annotations with numbers', { ...manifest, annotations: { a: 1 } }, OCI_MANIFEST],
  ])('refuses: %s', (_, doc, announced) => {
    expect(() => parse(doc, announced)).toThrow(invalid);
  });

  it.each([-1, 1.5, '5', null, undefined, 2 ** 53, 2 ** 62, Number.NaN, true, [], {}])('refuses the size %j', (size) => {
    expect(() => parse({ ...manifest, layers: [{ ...layer, size }] })).toThrow(invalid);
  });

  it.each(['', 'not json', '{"a":', '\u0000', '{"schemaVersion":2,}', '\ufeff{}'])('refuses the text %j', (text) => {
    expect(() => parse(text)).toThrow(invalid);
  });

  it('refuses bytes that are no UTF-8', () => {
    expect(() => parseDocument(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), undefined)).toThrow(invalid);
  });

  it.each([
    ['nesting', `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}`],
    ['nesting of objects', '{"a":'.repeat(100_000)],
    ['layers', JSON.stringify({ ...manifest, layers: Array.from({ length: 501 }, () => layer) })],
    ['entries', JSON.stringify({ ...index, manifests: Array.from({ length: 4097 }, () => index.manifests[0]) })],
  ])('stops at too much %s', (_, text) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'CTR_IMAGE_LIMIT' }));
  });

  it('takes a key __proto__ for a key and pollutes nothing', () => {
    const parsed = parse(
      '{"schemaVersion":2,"__proto__":{"manifests":[]},"config":{"mediaType":"a","digest":"' +
        digest +
        '","size":1},"layers":[],"annotations":{"__proto__":"x","constructor":"y"}}',
    );
    expect(parsed.kind).toBe('manifest');
    expect(({} as Record<string, unknown>)['manifests']).toBeUndefined();
    if (parsed.kind === 'manifest') expect(Object.keys(parsed.annotations)).toEqual(['__proto__', 'constructor']);
  });

  it('does not take inherited properties for content', () => {
    expect(() => parse('{"schemaVersion":2,"__proto__":{"config":1,"layers":[]}}')).toThrow(invalid);
  });

  it('drops foreign urls, so that nobody can follow them', () => {
    const parsed = parse({ ...manifest, layers: [{ ...layer, urls: ['http://169.254.169.254/'] }] });
    expect(JSON.stringify(parsed)).not.toContain('169.254');
  });

  it('says clearly that schema 1 is refused', () => {
    expect(() => parse({ schemaVersion: 1, fsLayers: [] })).toThrowErrorMatchingInlineSnapshot(`
      [ImageError: manifest has Docker's schema 1, which is not supported: its layers cannot be verified
        hint: push the image again with a current tool, which writes schema 2 or OCI]
    `);
  });
});
