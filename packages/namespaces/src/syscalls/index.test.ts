// The tables of system calls: parsed completely, spot-checked against facts, and against this machine's own headers.
import { existsSync, readFileSync } from 'node:fs';
import { host, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { ARM64_SYSCALLS } from './arm64.js';
import {
  AUDIT_ARCH,
  auditArchName,
  conventionTable,
  SYSCALL_ARCHES,
  syscallArch,
  syscallName,
  syscallNameOf,
  syscallNumber,
  syscallTable,
  X32_SYSCALL_BIT,
} from './index.js';
import { X86_64_SYSCALLS } from './x86-64.js';

const header = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h';
host.define('kernel-headers', { test: () => existsSync(header), cure: 'on Debian for amd64: apt-get install linux-libc-dev' });
const headers = need('kernel-headers');

describe('syscall tables', () => {
  it.each(SYSCALL_ARCHES)('%s: names and numbers are unique, and end with file_setattr of Linux 6.17', (arch) => {
    const table = syscallTable(arch);
    expect(new Set(table.values()).size).toBe(table.size);
    expect(Math.max(...table.values())).toBe(469);
    expect(syscallName(469, arch)).toBe('file_setattr');
  });

  it.each([
    ['x64', X86_64_SYSCALLS, 383],
    ['arm64', ARM64_SYSCALLS, 325],
  ] as const)('%s: each line begins with a number that continues or skips ahead', (arch, source, size) => {
    const lines = source.trim().split('\n');
    let next = 0;
    for (const line of lines) {
      const [first, ...names] = line.trim().split(' ');
      expect(Number(first)).toBeGreaterThanOrEqual(next);
      next = Number(first) + names.length;
    }
    expect(syscallTable(arch).size).toBe(size);
  });

  it.each([
    ['read', 0, 63],
    ['clone', 56, 220],
    ['clone3', 435, 435],
    ['openat2', 437, 437],
    ['seccomp', 317, 277],
    ['mount', 165, 40],
    ['pivot_root', 155, 41],
    ['renameat', 264, 38],
    ['cachestat', 451, 451],
  ])('%s is %i on x64 and %i on arm64', (name, x64, arm64) => {
    expect([syscallNumber(name, 'x64'), syscallNumber(name, 'arm64')]).toEqual([x64, arm64]);
    expect([syscallName(x64, 'x64'), syscallName(arm64, 'arm64')]).toEqual([name, name]);
  });

  it('names the right spelling for a wrong name', () => {
    expect(() => syscallNumber('pivot_rot', 'x64')).toThrow('did you mean "pivot_root"?');
    expect(() => syscallNumber('open', 'arm64')).toThrow('expected "syscall" to be a system call of Linux on arm64');
    expect(() => syscallArch('mips')).toThrow(`expected "arch" to be 'x64' or 'arm64', received "mips"`);
  });

  it('has the audit values of audit.h', () => expect(AUDIT_ARCH).toEqual({ x64: 0xc000003e, arm64: 0xc00000b7 }));

  it.skipIf(!headers.ok)(headers.title('agrees with every number of the kernel header installed here'), () => {
    const table = syscallTable('x64');
    const found = [...readFileSync(header, 'utf8').matchAll(/^#define __NR_(\w+) (\d+)$/gm)];
    expect(found.length).toBeGreaterThan(350);
    for (const [, name, number] of found)
      if (Number(number) <= 469) expect([name, table.get(name as string)]).toEqual([name, Number(number)]);
  });

  it.skipIf(!headers.ok)(headers.title('agrees with the headers of i386 and x32 too'), () => {
    for (const [convention, file] of [
      ['x86', 'unistd_32.h'],
      ['x32', 'unistd_x32.h'],
    ] as const) {
      const text = readFileSync(header.replace('unistd_64.h', file), 'utf8');
      const found = [...text.matchAll(/^#define __NR_(\w+) (?:\(__X32_SYSCALL_BIT \+ (\d+)\)|(\d+))$/gm)];
      expect(found.length).toBeGreaterThan(340);
      for (const [, name, x32, number] of found) {
        const expected = x32 === undefined ? Number(number) : X32_SYSCALL_BIT + Number(x32);
        if ((expected & 0xffff) <= 469 || (expected & 0xffff) >= 512)
          expect([name, conventionTable(convention).get(name as string)]).toEqual([name, expected]);
      }
    }
  });

  it('knows which convention a call is of', () => {
    expect([auditArchName(0xc000003e, 0), auditArchName(0xc000003e, 0x40000000), auditArchName(0x40000003, 1)]).toEqual([
      'x64',
      'x32',
      'x86',
    ]);
    expect([auditArchName(0xc00000b7, 0), auditArchName(0x40000028, 0), auditArchName(8, 0)]).toEqual(['arm64', 'arm', undefined]);
    expect([syscallNameOf(54, 'x86'), syscallNameOf(0x40000202, 'x32'), syscallNameOf(983045, 'arm')]).toEqual([
      'ioctl',
      'ioctl',
      'set_tls',
    ]);
  });
});
