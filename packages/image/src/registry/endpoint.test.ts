// Case R-05: whom a registry may send us to, and the user's word that it may.
import { describe, expect, it } from 'vitest';
import { Endpoint } from './endpoint.js';
import type { HttpAnswer } from './http.js';

const registry = new URL('https://registry.example/');
const seenAt = (address: string, insecure = false, trusted: string[] = []): Endpoint => {
  const endpoint = new Endpoint(registry, insecure, new Set(trusted));
  endpoint.saw({ url: registry, address } as HttpAnswer);
  return endpoint;
};
const allows = (endpoint: Endpoint, url: string, address: string): boolean => {
  const { guard } = endpoint.rulesFor(new URL(url), 'the redirect');
  return guard === undefined || guard(address) === undefined;
};

describe('Endpoint', () => {
  it('lets a registry lead to public addresses and to ones as near as its own', () => {
    expect(allows(seenAt('1.2.3.4'), 'https://blobs.example/', '1.1.1.1')).toBe(true);
    expect(allows(seenAt('1.2.3.4'), 'https://blobs.example/', '10.0.0.1')).toBe(false);
    expect(allows(seenAt('10.0.0.2'), 'https://blobs.example/', '10.0.0.1')).toBe(true);
    expect(allows(seenAt('10.0.0.2'), 'https://blobs.example/', '169.254.169.254')).toBe(false);
    expect(allows(seenAt('::ffff:127.0.0.1'), 'http://localhost:9000/', '127.0.0.1')).toBe(true);
  });

  it('never judges the registry itself, and believes the user about an origin', () => {
    expect(allows(seenAt('169.254.1.1'), 'https://registry.example/v2/', '169.254.1.1')).toBe(true);
    const trusting = seenAt('1.2.3.4', false, ['http://10.0.0.7:9000']);
    expect(allows(trusting, 'http://10.0.0.7:9000/bucket', '10.0.0.7')).toBe(true);
    expect(allows(trusting, 'http://10.0.0.7:9001/bucket', '10.0.0.7')).toBe(false);
  });

  it('takes only its own answers for a measure of its place', () => {
    const endpoint = seenAt('1.2.3.4');
    endpoint.saw({ url: new URL('https://elsewhere.example/'), address: '10.0.0.1' } as HttpAnswer);
    expect(allows(endpoint, 'https://blobs.example/', '10.0.0.1')).toBe(false);
  });

  it('lets nobody but an insecure registry itself do without a valid certificate', () => {
    const endpoint = seenAt('10.0.0.1', true);
    expect(endpoint.rulesFor(new URL('https://registry.example/v2/'), 'x').verifyTls).toBe(false);
    expect(endpoint.rulesFor(new URL('https://blobs.example/'), 'x').verifyTls).toBe(true);
    expect(seenAt('10.0.0.1').rulesFor(registry, 'x').verifyTls).toBe(true);
  });
});
