// Which entry of an index runs on which machine.
import { describe, expect, it } from 'vitest';
import { formatPlatform, hostPlatform, parsePlatform, platformError, selectPlatform } from './platform.js';

const entry = (text: string, name = text) => {
  const [os = '', architecture = '', variant] = text.split('/');
  return { name, platform: text === '' ? undefined : { os, architecture, variant } };
};

describe('platforms', () => {
  it.each([
    ['x64', 'linux/amd64'],
    ['arm64', 'linux/arm64/v8'],
    ['arm', 'linux/arm/v7'],
    ['ia32', 'linux/386'],
    ['ppc64', 'linux/ppc64le'],
    ['s390x', 'linux/s390x'],
    ['riscv64', 'linux/riscv64'],
  ])('calls Node on %s %s', (arch, name) => {
    expect(formatPlatform(hostPlatform(arch))).toBe(name);
  });

  it.each([
    ['linux/amd64', ['linux/arm64', 'linux/amd64', 'linux/386'], 'linux/amd64'],
    ['linux/amd64', ['linux/amd64/v3', 'linux/amd64'], 'linux/amd64'],
    ['linux/amd64', ['linux/amd64/v1'], 'linux/amd64/v1'],
    ['linux/amd64', ['linux/amd64/v3'], undefined],
    ['linux/amd64/v3', ['linux/amd64', 'linux/amd64/v2', 'linux/amd64/v4'], 'linux/amd64/v2'],
    ['linux/amd64', ['linux/x86_64'], 'linux/x86_64'],
    ['linux/arm64', ['linux/arm64'], 'linux/arm64'],
    ['linux/arm64', ['linux/arm/v7', 'linux/arm64/v8'], 'linux/arm64/v8'],
    ['linux/arm64', ['linux/aarch64'], 'linux/aarch64'],
    ['linux/arm/v7', ['linux/arm/v5', 'linux/arm/v6'], 'linux/arm/v6'],
    ['linux/arm/v6', ['linux/arm/v7', 'linux/arm/v5'], 'linux/arm/v5'],
    ['linux/arm/v6', ['linux/arm/v7', 'linux/arm'], undefined],
    ['linux/arm', ['linux/arm/7'], 'linux/arm/7'],
    ['linux/amd64', ['windows/amd64', 'unknown/unknown', ''], undefined],
    ['linux/amd64', [], undefined],
  ])('for %s chooses among %j %s', (wanted, have, chosen) => {
    expect(
      selectPlatform(
        have.map((h) => entry(h)),
        parsePlatform(wanted),
      )?.name,
    ).toBe(chosen);
  });

  it('takes the first of equals', () => {
    expect(selectPlatform([entry('linux/amd64', 'first'), entry('linux/amd64', 'second')], parsePlatform('linux/amd64'))?.name).toBe(
      'first',
    );
  });

  it.each(['', 'amd64', 'windows/amd64', 'linux/', 'linux/amd64/', 'linux/AMD64', 'linux/a/b/c', 'linux/../x', 5, null])(
    'refuses %j',
    (text) => {
      expect(() => parsePlatform(text as string)).toThrow(expect.objectContaining({ code: 'CTR_INVALID_ARGUMENT', path: 'platform' }));
    },
  );

  it('names what there is', () => {
    const have = [entry('linux/arm64/v8'), entry('linux/s390x'), entry('unknown/unknown'), entry('')].map((e) => e.platform);
    expect(platformError('docker.io/library/x:1', parsePlatform('linux/amd64'), have)).toMatchInlineSnapshot(`
      [ImageError: image docker.io/library/x:1 is not made for linux/amd64: it has linux/arm64/v8, linux/s390x
        hint: choose a tag that has this platform, or ask for another with the platform option]
    `);
  });
});
