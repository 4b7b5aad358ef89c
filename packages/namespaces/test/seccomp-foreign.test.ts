// The doors of other calling conventions on x86-64: a real program of 32 bits, and x32's numbers, under profiles that open them and
// profiles that do not.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { compileSeccomp, DEFAULT_CAPABILITIES, defaultSeccompFilter, type OciSeccomp } from '../src/index.js';
import { conventionTable, type SyscallConvention } from '../src/syscalls/index.js';
import { ENV, run, WAYS } from './run.js';

const x64 = process.arch === 'x64';
const dir = makeTempDir('foreign');
const program = path.join(dir, 'i386');
const source = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const numberOf = (name: string, convention: SyscallConvention): number => {
  const nr = conventionTable(convention).get(name);
  if (nr === undefined) throw new Error(`${convention} has no ${name}`);
  return nr;
};
const build = (...args: string[]) => spawnSync('cc', [...args, '-Wall', '-Wextra', '-Werror'], { encoding: 'utf8' });

host.define('i386', {
  test: () => {
    const flags = ['-m32', '-static', '-nostdlib', '-ffreestanding', '-fno-pie', '-no-pie', '-fno-stack-protector', '-O1'];
    return x64 && build(...flags, '-o', program, source('i386.c')).status === 0 && spawnSync(program, ['20']).status === 0;
  },
  cure: 'run on x86-64 with a kernel that runs programs of 32 bits (CONFIG_IA32_EMULATION), and gcc with -m32',
});
const i386 = need('linux', 'userns', 'i386');
const compiler = need('linux', 'static-cc', 'userns');

const ENOSYS = 38;
/** An errno that no kernel gives for these calls. */
const MARK = 99;
/** getppid answers MARK. Its number on i386 is 64, which on x86-64 is semget; x32 has x86-64's, with bit 30. */
const marked = (...architectures: string[]): OciSeccomp => ({
  defaultAction: 'SCMP_ACT_ALLOW',
  architectures,
  syscalls: [{ names: ['getppid'], action: 'SCMP_ACT_ERRNO', errnoRet: MARK }],
});
const OPEN = { i386: marked('SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'), x32: marked('SCMP_ARCH_X86_64', 'SCMP_ARCH_X32') };
const CLOSED = marked('SCMP_ARCH_X86_64');

describe.skipIf(!i386.ok).each(WAYS)(i386.title('a program of 32 bits $way'), ({ user }) => {
  const outcome = async (name: string, seccomp: Uint8Array): Promise<number | string | null> => {
    const r = await run({
      args: [program, String(numberOf(name, 'x86'))],
      namespaces: { user },
      noNewPrivileges: true,
      seccomp,
    });
    return r.signal ?? r.exitCode;
  };

  it('runs under a profile that opens i386, by the rules that it has there', async () => {
    const seccomp = compileSeccomp(OPEN.i386);
    expect([await outcome('getpid', seccomp), await outcome('getppid', seccomp)]).toEqual([0, MARK]);
  });

  it('makes the calls that are refused on x86-64 under another number here', async () => {
    // 39 is getpid there and mkdir here: who looks at numbers alone would mix them up.
    const seccomp = compileSeccomp({
      ...OPEN.i386,
      syscalls: [{ names: ['mkdir'], action: 'SCMP_ACT_ERRNO', errnoRet: MARK }],
    });
    expect(numberOf('mkdir', 'x86')).toBe(39);
    expect([await outcome('mkdir', seccomp), await outcome('getpid', seccomp)]).toEqual([MARK, 0]);
  });

  it('is ended by its first call under a profile that does not open i386, and under the default one', async () => {
    for (const seccomp of [compileSeccomp(CLOSED), compileSeccomp(OPEN.x32), defaultSeccompFilter(DEFAULT_CAPABILITIES)])
      expect(await outcome('getpid', seccomp)).toBe('SIGSYS');
  });

  it('gets ENOSYS for all that it calls, its end too, where that is wanted', async () => {
    // No call is left that could end it but the trap behind exit.
    const r = await run({
      args: [program, '20'],
      namespaces: { user },
      noNewPrivileges: true,
      seccomp: compileSeccomp(CLOSED, { foreignArch: 'enosys' }),
    });
    expect(r.signal).toMatch(/^SIG(ILL|TRAP|SEGV)$/);
  });
});

describe.skipIf(!compiler.ok || !x64)(compiler.title('the numbers of x32'), () => {
  const tryIt = path.join(dir, 'seccomp-try');
  beforeAll(() => {
    expect(build('-static', '-o', tryIt, source('seccomp-try.c')).stderr).toBe('');
  });

  /** The errno of each call; `undefined`: without a filter. */
  async function errnos(names: readonly string[], profile: OciSeccomp | undefined): Promise<number[]> {
    const p = await run({
      args: ['/bin/sh', '-c', `printf '${names.map((n) => `${numberOf(n, 'x32').toString(16)}\\n`).join('')}' | ${tryIt} none calls`],
      env: ENV,
      noNewPrivileges: true,
      ...(profile === undefined ? {} : { seccomp: compileSeccomp(profile) }),
    });
    expect([p.exitCode, p.stderr]).toEqual([0, '']);
    return p.stdout.trim().split('\n').map(Number);
  }

  it('are the kernel’s to answer under a profile that opens x32, by the rules that it has there', async () => {
    // A kernel without CONFIG_X86_X32_ABI says ENOSYS to what the filter lets through; the rule is asked before.
    const [without] = await errnos(['getpid'], undefined);
    expect([0, ENOSYS]).toContain(without);
    expect(await errnos(['getpid', 'getppid'], OPEN.x32)).toEqual([without, MARK]);
  });

  it('are ENOSYS under a profile that does not, whatever its rules say', async () => {
    expect(await errnos(['getpid', 'getppid', 'close'], CLOSED)).toEqual([ENOSYS, ENOSYS, ENOSYS]);
    expect(await errnos(['getpid', 'getppid'], OPEN.i386)).toEqual([ENOSYS, ENOSYS]);
  });
});
