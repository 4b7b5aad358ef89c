// What a program is loaded by, read from its own bytes.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { loaderOf } from './explain-failure.js';

describe('loaderOf', () => {
  it.each([
    ['#!/bin/sh\necho', '/bin/sh'],
    ['#! /usr/bin/env node\n', '/usr/bin/env'],
    ['#!', undefined],
    ['', undefined],
    ['no program', undefined],
  ])('%j', (text, loader) => expect(loaderOf(Buffer.from(text))).toBe(loader));

  it.runIf(process.platform === 'linux')('finds the dynamic loader of a real program', () =>
    expect(loaderOf(readFileSync(process.execPath).subarray(0, 65_536))).toMatch(/ld-(linux|musl)/),
  );

  it('is not led astray by a broken header', () => {
    const elf = Buffer.alloc(64);
    elf.writeUInt32BE(0x7f454c46);
    elf[4] = 2;
    elf[5] = 1;
    elf.writeBigUInt64LE(2n ** 63n, 32);
    elf.writeUInt16LE(0xffff, 54);
    elf.writeUInt16LE(0xffff, 56);
    expect(loaderOf(elf)).toBeUndefined();
    elf.writeBigUInt64LE(0n, 32);
    elf.writeUInt16LE(0, 54);
    expect(loaderOf(elf)).toBeUndefined();
  });
});
