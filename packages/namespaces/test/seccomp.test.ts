// Compiled filters in the running kernel: it takes them, decides as the simulation says, and real programs work under the default one.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../src/capabilities.js';
import {
  compileSeccomp,
  defaultSeccompFilter,
  type OciSeccomp,
  type OciSeccompArg,
  type SeccompActionName,
  type SeccompOperator,
  simulateSeccomp,
} from '../src/seccomp/index.js';
import { syscallNumber, syscallTable } from '../src/syscalls/index.js';

host.define('python3', {
  test: () => spawnSync(host.program('python3'), ['-c', '']).status === 0,
  cure: 'on Debian: apt-get install python3',
});
const compiler = need('linux', 'static-cc');
const python = need('linux', 'static-cc', 'python3');
const busybox = need('linux', 'static-cc', 'busybox');

interface Call {
  name: string;
  nr: number;
  args: readonly (number | bigint)[];
}

const ENOSYS = 38;
const ALL_ONES = Array(6).fill(-1n) as bigint[];
const call = (name: string, ...args: (number | bigint)[]): Call => ({ name, nr: syscallNumber(name), args });
const hex = (n: number | bigint): string => BigInt.asUintN(64, BigInt(n)).toString(16);

describe.skipIf(!compiler.ok)(compiler.title('seccomp filters in the kernel'), () => {
  const dir = makeTempDir('seccomp');
  const tryIt = path.join(dir, 'seccomp-try');
  let files = 0;

  beforeAll(() => {
    const source = fileURLToPath(new URL('seccomp-try.c', import.meta.url));
    const built = spawnSync('cc', ['-Wall', '-Wextra', '-Werror', '-o', tryIt, source], { encoding: 'utf8' });
    expect(built.stderr).toBe('');
  });

  function run(filter: Uint8Array | 'none', args: string[], input = '') {
    const file = filter === 'none' ? 'none' : path.join(dir, `${files++}.bpf`);
    if (filter !== 'none') writeFileSync(file, filter);
    const { status, signal, stdout, stderr } = spawnSync(tryIt, [file, ...args], { input, encoding: 'utf8' });
    return { status, signal, stdout, stderr };
  }

  /** The errno of each call. */
  function errnos(filter: Uint8Array | 'none', calls: readonly Call[]): number[] {
    const lines = calls.map(({ nr, args }) => [nr, ...args].map(hex).join(' '));
    const result = run(filter, ['calls'], `${lines.join('\n')}\n`);
    expect({ ...result, stdout: '' }).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    return result.stdout.trim().split('\n').map(Number);
  }

  /** Calls that the simulation allows must end as without a filter, the others with the filter's errno. */
  function expectAsSimulated(filter: Uint8Array, calls: readonly Call[]): void {
    const verdicts = calls.map(({ nr, args }) => simulateSeccomp(filter, { nr, args }));
    const allowed = calls.filter((_, i) => verdicts[i]?.action === 'SCMP_ACT_ALLOW');
    const unfiltered = new Map(errnos('none', allowed).map((errno, i) => [allowed[i], errno]));
    const expected = calls.map((c, i) => ({ name: c.name, args: c.args, errno: unfiltered.get(c) ?? verdicts[i]?.data }));
    const found = errnos(filter, calls).map((errno, i) => ({ name: calls[i]?.name, args: calls[i]?.args, errno }));
    expect(found).toEqual(expected);
  }

  /** Every call that the filter refuses whatever its arguments; these would do no harm if they got through. */
  const refused = (filter: Uint8Array): Call[] =>
    [...syscallTable().keys()]
      .map((name) => call(name, ...ALL_ONES))
      .filter(({ nr, args }) => simulateSeccomp(filter, { nr, args }).action !== 'SCMP_ACT_ALLOW');

  const harmless =
    'read write close openat newfstatat fstat statx lseek mmap mprotect fcntl getpid getuid geteuid gettid setuid prctl ptrace futex mkdirat unlinkat connect bind sendto epoll_ctl sched_yield clock_gettime getrandom capget seccomp rseq landlock_create_ruleset pidfd_open faccessat2 cachestat chroot setxattr';

  it('decides as simulated, for allowed, refused and unknown calls', () => {
    const filter = defaultSeccompFilter(DEFAULT_CAPABILITIES);
    const unknown = [337, 423, 470, 600, 0x3fffffff, 0x40000000, 0x40000027, 0x7fffffff, 0x80000000, 0xffffffff];
    const calls = [
      ...refused(filter),
      ...harmless.split(' ').map((name) => call(name, ...ALL_ONES)),
      ...unknown.map((nr) => ({ name: `number ${nr}`, nr, args: [] })),
    ];
    expect(refused(filter).length).toBeGreaterThan(60);
    expectAsSimulated(filter, calls);
  });

  it('decides as simulated where arguments count', () => {
    const filter = defaultSeccompFilter(DEFAULT_CAPABILITIES);
    const families = Array.from({ length: 46 }, (_, family) => family);
    const requests = [0x5401, 0x5412, 0x541c, 0x1_0000_5412n, 0xffffffff_00005412n, 0xffffffff_0000541cn];
    const newFlags = [0, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x7e020000];
    expectAsSimulated(filter, [
      ...families.flatMap((family) => [1, 2, 3].map((type) => call('socket', family, type, 0))),
      ...[1, 4, 9, 12, 15, 16, 1n << 32n].map((protocol) => call('socket', 16, 3, protocol)),
      ...families.map((family) => call('socketpair', family, 1, 0, 0)),
      ...requests.map((request) => call('ioctl', 0, request, 0)),
      // CLONE_SIGHAND without CLONE_VM: the kernel refuses it with EINVAL, should it get there
      ...newFlags.map((flag) => call('clone', flag | 0x800, 0, 0, 0, 0)),
      call('clone3', 0, 0),
      ...[0x0, 0x8, 0x20000, 0x20008, 0xffffffff, 0x0040000, 0x0400000].map((persona) => call('personality', persona)),
    ]);
  });

  it('opens the calls of all capabilities', () => {
    const filter = defaultSeccompFilter(CAPABILITIES);
    // Not among those: unshare and others that would work without arguments.
    const opened = 'mount umount2 setns kcmp syslog bpf chroot acct pivot_root open_by_handle_at init_module clock_settime';
    expectAsSimulated(filter, [...refused(filter), ...opened.split(' ').map((name) => call(name, ...ALL_ONES))]);
  });

  it('compares 64-bit arguments as simulated, by every operator', () => {
    const values = [0n, 1n, 0xffffffffn, 0x100000000n, 0x100000001n, 0xffffffffffffffffn];
    const names = ['getpid', 'getppid', 'getuid', 'geteuid', 'getgid', 'getegid', 'gettid']; // take no arguments, so any will do
    const operators = ['NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ'];
    for (const value of values) {
      const syscalls = names.map((name, i): NonNullable<OciSeccomp['syscalls']>[number] => {
        const arg: OciSeccompArg = { index: 5, op: `SCMP_CMP_${operators[i]}` as SeccompOperator, value, valueTwo: 1 };
        return { names: [name], action: 'SCMP_ACT_ERRNO', errnoRet: 100 + i, args: [arg] };
      });
      const filter = compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls });
      expectAsSimulated(
        filter,
        names.flatMap((name) => values.map((actual) => call(name, 0, 0, 0, 0, 0, actual))),
      );
    }
  });

  it('takes long programs', () => {
    // Since Linux 6.14 no filter is asked about the calls of the kernel's own uprobe trampolines.
    const names = [...syscallTable().keys()].filter((name) => !['uretprobe', 'uprobe'].includes(name));
    const syscalls = names.map((name, i): NonNullable<OciSeccomp['syscalls']>[number] => ({
      names: [name],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: 1 + i,
      args: [{ index: 5, op: 'SCMP_CMP_EQ', value: 0x1234567800000000n + BigInt(i) }],
    }));
    const filter = compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls });
    expect(filter.length / 8).toBeGreaterThan(1000);
    const calls = syscalls.map(({ names, args }) => call(names[0] as string, 0, 0, 0, 0, 0, args?.[0]?.value as bigint));
    expectAsSimulated(filter, calls);
  });

  it.each([
    ['SCMP_ACT_ERRNO', { status: 0, signal: null, stdout: '1\n' }],
    ['SCMP_ACT_TRACE', { status: 0, signal: null, stdout: `${ENOSYS}\n` }], // no tracer
    ['SCMP_ACT_NOTIFY', { status: 0, signal: null, stdout: `${ENOSYS}\n` }], // no listener
    ['SCMP_ACT_LOG', { status: 0, signal: null, stdout: '0\n' }],
    ['SCMP_ACT_ALLOW', { status: 0, signal: null, stdout: '0\n' }],
    ['SCMP_ACT_TRAP', { status: null, signal: 'SIGSYS', stdout: '' }],
    ['SCMP_ACT_KILL', { status: null, signal: 'SIGSYS', stdout: '' }],
    ['SCMP_ACT_KILL_THREAD', { status: null, signal: 'SIGSYS', stdout: '' }],
    ['SCMP_ACT_KILL_PROCESS', { status: null, signal: 'SIGSYS', stdout: '' }],
  ] as [SeccompActionName, object][])('%s does what it says', (action, outcome) => {
    const filter = compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['getppid'], action }] });
    expect(run(filter, ['calls'], `${hex(syscallNumber('getppid'))}\n`)).toEqual({ ...outcome, stderr: '' });
  });

  it.skipIf(process.arch !== 'x64')('ends a process that makes i386 calls, or answers ENOSYS', () => {
    const filter = (foreignArch: 'kill' | 'enosys') =>
      compileSeccomp(
        { defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names: [...syscallTable().keys()], action: 'SCMP_ACT_ALLOW' }] },
        { foreignArch },
      );
    const plain = run('none', ['int80', '20']);
    const killed = run(filter('kill'), ['int80', '20']);
    const answered = run(filter('enosys'), ['int80', '20']);
    // A kernel without i386 has no such calls at all: the instruction itself ends the process.
    if (plain.signal !== null) expect([killed.signal, answered.signal]).toEqual([plain.signal, plain.signal]);
    else expect([killed.signal, answered.stdout]).toEqual(['SIGSYS', `-${ENOSYS}\n`]);
  });

  describe('programs under the default filter', () => {
    const under = (...command: string[]) => run(defaultSeccompFilter(DEFAULT_CAPABILITIES), ['exec', ...command]);

    it('Node with threads, files, a server and a child process', () => {
      const script = `
        const { Worker } = require('node:worker_threads'), fs = require('node:fs/promises'), http = require('node:http');
        const { execFileSync } = require('node:child_process');
        const seccomp = execFileSync('sh', ['-c', 'grep -w Seccomp /proc/self/status'], { encoding: 'utf8' }).trim();
        const worker = new Promise((ok, no) => new Worker('require("node:worker_threads").parentPort.postMessage(42)', { eval: true }).once('message', ok).once('error', no));
        const served = new Promise((ok) => { const s = http.createServer((_, r) => r.end('served')).listen(0, '127.0.0.1', async () => {
          ok(await (await fetch('http://127.0.0.1:' + s.address().port)).text()); s.close(); s.closeAllConnections(); }); });
        Promise.all([worker, served, fs.readFile('/proc/self/comm', 'utf8')]).then((all) => console.log(JSON.stringify([seccomp, ...all])));`;
      const result = under(process.execPath, '-e', script);
      expect(result).toMatchObject({ status: 0, stderr: '' });
      expect(JSON.parse(result.stdout)).toEqual(['Seccomp:\t2', 42, 'served', expect.any(String)]);
    });

    it.skipIf(!python.ok)(python.title('Python with threads, sockets and a child process'), () => {
      const script = [
        'import threading, subprocess, socket, os, select, time, tempfile',
        't = threading.Thread(target=lambda: time.sleep(0.01)); t.start(); t.join()',
        'a, b = socket.socketpair(); a.send(b"x"); select.select([b], [], [], 1)',
        'socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET).close(); socket.if_nameindex()',
        'tempfile.TemporaryFile().write(b"x"); p = os.fork()',
        'os._exit(0) if p == 0 else os.waitpid(p, 0)',
        'print(subprocess.run(["sh", "-c", "echo child"], capture_output=True, text=True).stdout.strip())',
      ].join('\n');
      expect(under(host.program('python3'), '-c', script)).toEqual({ status: 0, signal: null, stdout: 'child\n', stderr: '' });
    });

    it.skipIf(!busybox.ok)(busybox.title('busybox sh with pipes and substitutions'), () => {
      const script = 'x=$(echo a b c | tr " " "\\n" | wc -l); ls / > /dev/null && (sleep 0; echo "$x lines") | cat; stat / > /dev/null';
      expect(under(host.program('busybox'), 'sh', '-c', script)).toEqual({ status: 0, signal: null, stdout: '3 lines\n', stderr: '' });
    });
  });
});
