// Cases: the ways to write an address that only this machine can reach.
import { describe, expect, it } from 'vitest';
import { guardedLookup, guardFor, isLoopbackHost, reachOf } from './address.js';

describe('reachOf', () => {
  it.each([
    ['1.1.1.1', 'public'],
    ['2606:4700::1111', 'public'],
    ['127.0.0.1', 'loopback'],
    ['127.255.255.254', 'loopback'],
    ['::1', 'loopback'],
    ['0:0:0:0:0:0:0:1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::ffff:7f00:1', 'loopback'],
    ['64:ff9b::7f00:1', 'loopback'],
    ['64:ff9b::a9fe:a9fe', 'never'],
    ['169.254.169.254', 'never'],
    ['::ffff:169.254.169.254', 'never'],
    ['fe80::1', 'never'],
    ['fe80::1%eth0', 'never'],
    ['0.0.0.0', 'never'],
    ['::', 'never'],
    ['224.0.0.1', 'never'],
    ['ff02::1', 'never'],
    ['255.255.255.255', 'never'],
    ['10.0.0.1', 'private'],
    ['172.16.0.1', 'private'],
    ['172.32.0.1', 'public'],
    ['192.168.1.1', 'private'],
    ['100.64.0.1', 'private'],
    ['fd00::1', 'private'],
    ['2002:7f00:1::', 'private'],
    ['::ffff:10.0.0.1', 'private'],
    ['localhost', 'never'],
    ['', 'never'],
  ])('%s is %s', (address, reach) => {
    expect(reachOf(address)).toBe(reach);
  });

  it.each([
    'http://2130706433/',
    'http://0x7f.1/',
    'http://017700000001/',
    'http://127.1/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::1]/',
    'http://127。0。0。1/',
  ])('sees through %s', (url) => {
    expect(reachOf(new URL(url).hostname.replace(/^\[|\]$/g, ''))).toBe('loopback');
  });
});

it('knows this machine by name', () => {
  expect(['localhost', 'a.localhost', '127.0.0.1', '[::1]', 'localhost.example', 'example.com'].map(isLoopbackHost)).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});

describe('guardFor', () => {
  it.each([
    ['public', '1.1.1.1', true],
    ['public', '10.0.0.1', false],
    ['public', '127.0.0.1', false],
    ['private', '10.0.0.1', true],
    ['private', '127.0.0.1', false],
    ['loopback', '127.0.0.1', true],
    ['loopback', '10.0.0.1', false],
    ['loopback', '169.254.169.254', false],
    ['never', '169.254.169.254', false],
    ['never', '1.1.1.1', true],
  ] as const)('a registry that is %s may lead to %s: %s', (registry, address, allowed) => {
    expect(guardFor(registry, 'the redirect of r')(address) === undefined).toBe(allowed);
  });
});

it('judges the addresses that a name really has', async () => {
  const ask = (guard: Parameters<typeof guardedLookup>[0], all: boolean) =>
    new Promise((resolve) => guardedLookup(guard)('localhost', { all }, (error, address) => resolve(error ?? address)));
  expect(await ask(guardFor('public', 'the redirect of r'), true)).toMatchObject({ code: 'CTR_IMAGE_REGISTRY' });
  expect(await ask(guardFor('loopback', 'the redirect of r'), false)).toMatch(/^(127\.0\.0\.1|::1)$/);
});
