// Addresses as the kernel takes them.
import { describe, expect, it } from 'vitest';
import { encodeAddress } from './address.js';

const hex = (...a: Parameters<typeof encodeAddress>): string => Buffer.from(encodeAddress(...a).bytes).toString('hex');

describe('encodeAddress', () => {
  it('IPv4', () => {
    expect(hex('inet', { host: '127.0.0.1', port: 8080 })).toBe(`0200${'1f90'}7f000001${'00'.repeat(8)}`);
    expect(hex('inet', {})).toBe(`0200${'0000'}00000000${'00'.repeat(8)}`);
  });

  it.each([
    ['::', '0'.repeat(32)],
    ['::1', `${'0'.repeat(31)}1`],
    ['fe80::1:2', 'fe800000000000000000000000010002'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['1:2:3:4:5:6:7::', '00010002000300040005000600070000'],
    ['::ffff:192.0.2.1', '00000000000000000000ffffc0000201'],
    ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221'],
  ])('IPv6 %s', (host, bytes) => expect(hex('inet6', { host, port: 1 })).toBe(`0a00000100000000${bytes}00000000`));

  it('unix, by path and by name', () => {
    expect(hex('unix', { path: '/a' })).toBe('01002f6100');
    expect(hex('unix', { path: '\0ab' })).toBe('0100006162');
    expect(() => encodeAddress('unix', { path: `/${'x'.repeat(107)}` })).toThrow(/1 to 107 bytes/);
    expect(() => encodeAddress('unix', { path: '/a\0b' })).toThrow(/an absolute path/);
  });

  it('refuses names and zones', () => {
    for (const host of ['localhost', '127.1', '::1', '']) expect(() => encodeAddress('inet', { host })).toThrow(/IP version 4/);
    for (const host of ['fe80::1%eth0', '127.0.0.1']) expect(() => encodeAddress('inet6', { host })).toThrow(/IP version 6/);
  });
});
