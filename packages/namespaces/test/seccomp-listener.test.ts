// Filters that ask: real programs make real calls, and this process answers them.
import { spawnSync } from 'node:child_process';
import { openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import {
  type ContainerProcess,
  compileSeccomp,
  enter,
  Fd,
  type OciSeccompRule,
  type SeccompFilter,
  SeccompListener,
  type SeccompNotification,
  type SpawnOptions,
  spawn,
  syscallNumber,
} from '../src/index.js';
import { asRoot, ENV, finished, leaks, messageOf, WAYS } from './run.js';

const compiler = need('linux', 'static-cc', 'userns');

const EROFS = 30;
const ENOSYS = 38;
const EACCES = 13;

/** All is allowed but these, which ask. */
const asking = (...names: string[]): Uint8Array =>
  compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names, action: 'SCMP_ACT_NOTIFY' } satisfies OciSeccompRule] });

const hex = (n: number | bigint): string => BigInt.asUintN(64, BigInt(n)).toString(16);
const line = (name: string, ...args: (number | bigint)[]): string => `${[syscallNumber(name), ...args].map(hex).join(' ')}\n`;

/** A filter whose listener can be waited for. */
function listening(program: Uint8Array, flags?: string[]): { seccomp: SeccompFilter; listener: Promise<SeccompListener> } {
  let got!: (listener: SeccompListener) => void;
  const listener = new Promise<SeccompListener>((resolve) => {
    got = resolve;
  });
  return { seccomp: { program, ...(flags ? { flags } : {}), onListener: (fd) => got(new SeccompListener(fd)) }, listener };
}

/** The next call, which there must be. */
async function next(listener: SeccompListener): Promise<SeccompNotification> {
  const { value } = await listener[Symbol.asyncIterator]().next();
  if (value === undefined) throw new Error('there is no further call');
  return value;
}

/** Answers all calls to the end; how many there were. */
async function answer(listener: SeccompListener, how: (call: SeccompNotification) => unknown): Promise<number> {
  let calls = 0;
  for await (const call of listener) {
    how(call);
    calls++;
  }
  return calls;
}

describe.skipIf(!compiler.ok)(compiler.title('a seccomp listener'), () => {
  const dir = makeTempDir('listener');
  const tryIt = path.join(dir, 'seccomp-try');
  const plain = { env: ENV, noNewPrivileges: true };

  beforeAll(() => {
    const source = fileURLToPath(new URL('seccomp-try.c', import.meta.url));
    expect(spawnSync('cc', ['-static', '-Wall', '-Wextra', '-Werror', '-o', tryIt, source], { encoding: 'utf8' }).stderr).toBe('');
  });

  /** Starts the program that makes the calls which are written to it. */
  async function trying(program: Uint8Array, o: Partial<SpawnOptions> = {}, flags?: string[]) {
    const { seccomp, listener } = listening(program, flags);
    const p = await spawn({ ...plain, args: [tryIt, 'none', 'results'], stdio: ['pipe', 'pipe', 'pipe'], seccomp, ...o });
    return { p, listener: await listener };
  }

  async function results(p: ContainerProcess): Promise<string[]> {
    const ran = await finished(p);
    expect({ exitCode: ran.exitCode, stderr: ran.stderr }).toEqual({ exitCode: 0, stderr: '' });
    return ran.stdout.trimEnd().split('\n');
  }

  it('lets a call go on, fails it, or gives it a value', async () => {
    const { p, listener } = await trying(asking('getppid'));
    p.stdin?.end(line('getppid').repeat(5));
    const answers: ((c: SeccompNotification) => boolean)[] = [
      (c) => c.continue(),
      (c) => c.fail('EROFS'),
      (c) => c.fail(EROFS),
      (c) => c.succeed(4242),
      (c) => c.succeed(),
    ];
    const given: boolean[] = [];
    const calls = answer(listener, (call) => given.push(answers[given.length]?.(call) ?? false));
    const [first, ...others] = await results(p);
    expect(first).toMatch(/^[1-9]\d* 0$/);
    expect(others).toEqual([`-1 ${EROFS}`, `-1 ${EROFS}`, '4242 0', '0 0']);
    expect([await calls, given, listener.closed]).toEqual([5, Array(5).fill(true), true]);
  });

  it('shows who calls what', async () => {
    const { p, listener } = await trying(asking('getuid'));
    const args = [1, 0xffffffffn, 1n << 63n, -1, 5, 6];
    p.stdin?.end(line('getuid', ...args));
    const call = await next(listener);
    expect([call.name, call.nr, call.arch, call.pid, call.pending]).toEqual(['getuid', syscallNumber('getuid'), process.arch, p.pid, true]);
    expect(call.args).toEqual(args.map((n) => BigInt.asUintN(64, BigInt(n))));
    expect(call.instructionPointer).toBeGreaterThan(0n);
    expect([call.succeed(7), call.pending]).toEqual([true, false]);
    expect(await results(p)).toEqual(['7 0']);
  });

  it('puts a descriptor in the place of a file that is not there', async () => {
    const file = path.join(dir, 'real');
    writeFileSync(file, 'from outside\n');
    const { seccomp, listener } = listening(asking('openat', 'open'));
    const started = spawn({
      ...plain,
      args: ['/bin/sh', '-c', 'read line < /there/is/none; echo "$line"; ls /proc/self/fd | wc -l'],
      seccomp,
    });
    const paths: (string | undefined)[] = [];
    const done = answer(await listener, (call) => {
      const name = call.readString(call.args[call.name === 'open' ? 0 : 1] ?? 0n);
      paths.push(name);
      if (name !== '/there/is/none') return call.continue();
      using fd = Fd.of(openSync(file, 'r'));
      return call.succeedWithFd(fd);
    });
    const ran = await finished(await started);
    // ls has the folder itself open; the listener, its socket and the descriptors of the start are nowhere.
    expect(ran).toMatchObject({ exitCode: 0, stdout: 'from outside\n4\n', stderr: '' });
    expect(paths).toContain('/there/is/none');
    expect(await done).toBe(paths.length);
  });

  it('adds descriptors at a number of choice', async () => {
    const { p, listener } = await trying(asking('getpgrp', 'getpgid'));
    const source = openSync(path.join(dir, 'seccomp-try'), 'r');
    using fd = Fd.of(source);
    p.stdin?.end(line('getpgid', 0) + line('fcntl', 77, 1) + line('getpgid', 0) + line('fcntl', 78, 1));
    const first = await next(listener);
    expect([first.addFd(fd, { at: 77 }), first.continue()]).toEqual([77, true]);
    const second = await next(listener);
    expect([second.addFd(fd, { at: 78, closeOnExec: false }), second.succeed(1)]).toEqual([78, true]);
    // F_GETFD: FD_CLOEXEC is 1
    expect((await results(p)).map((r) => r.split(' ')[0]).slice(1)).toEqual(['1', '1', '0']);
  });

  it('is asked about the execve that starts the program, and may refuse it', async () => {
    const { seccomp, listener } = listening(asking('execve'));
    const started = spawn({ ...plain, args: ['/bin/sh', '-c', '/bin/true; echo $?'], seccomp });
    const seen: (string | undefined)[] = [];
    const answered = answer(await listener, (call) => {
      // The process that is to become the program shows its memory to root alone, since it has been a copy of the monitor's.
      seen.push(seen.length === 0 && !asRoot ? '/bin/sh' : call.readString(call.args[0] ?? 0n));
      return seen.length === 1 ? call.continue() : call.fail('EACCES');
    });
    expect(await finished(await started)).toMatchObject({ stdout: '126\n' });
    await answered;
    expect(seen).toEqual(['/bin/sh', '/bin/true']);

    const refused = listening(asking('execve'));
    const start = spawn({ ...plain, args: ['/bin/true'], seccomp: refused.seccomp });
    const [calls, message] = await Promise.all([refused.listener.then((l) => answer(l, (call) => call.fail(EACCES))), messageOf(start)]);
    expect(message).toMatch(/^start \/bin\/true: run \/bin\/true: execve: EACCES/);
    expect(calls).toBe(1);
  });

  it('says when nobody waits any more', async () => {
    const { p, listener } = await trying(asking('getppid'));
    p.stdin?.end(line('getppid'));
    const call = await next(listener);
    p.kill('SIGKILL');
    await p.cleaned;
    using fd = Fd.of(openSync('/dev/null', 'r'));
    expect([call.pending, call.continue(), call.fail(1), call.succeed(1), call.addFd(fd), call.succeedWithFd(fd)]).toEqual([
      false,
      false,
      false,
      false,
      undefined,
      undefined,
    ]);
    expect([call.readMemory(0n, 8), call.readString(0n)]).toEqual([undefined, undefined]);
    expect(await answer(listener, () => {})).toBe(0);
  });

  it('that is closed lets all calls fail with ENOSYS', async () => {
    const { p, listener } = await trying(asking('getppid'));
    p.stdin?.write(line('getppid'));
    await next(listener);
    const waiting = listener[Symbol.asyncIterator]().next();
    listener.close();
    listener.close();
    expect([await waiting, listener.closed]).toEqual([{ done: true, value: undefined }, true]);
    p.stdin?.end(line('getppid'));
    expect(await results(p)).toEqual([`-1 ${ENOSYS}`, `-1 ${ENOSYS}`]);
  });

  it('holds up neither the event loop nor another program, however many wait', async () => {
    const N = 8;
    const CALLS = 100;
    const all = await Promise.all(Array.from({ length: N }, () => trying(asking('getppid'))));
    for (const { p } of all) p.stdin?.end(line('getppid').repeat(CALLS));
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const answered = all.map(async ({ listener }, i) => {
      let calls = 0;
      for await (const call of listener) {
        // One of them waits for its first answer while the others are served.
        if (i === 0 && calls === 0) await sleep(50);
        call.succeed(calls++);
      }
      return calls;
    });
    const [first] = await Promise.all(all.map(({ p }) => results(p)));
    clearInterval(timer);
    expect(await Promise.all(answered)).toEqual(Array(N).fill(CALLS));
    expect(first).toEqual(Array.from({ length: CALLS }, (_, i) => `${i} 0`));
    expect(ticks).toBeGreaterThan(5);
  });

  it('serves several who wait for calls in the order in which they came', async () => {
    const { p, listener } = await trying(asking('getppid'));
    const iterator = listener[Symbol.asyncIterator]();
    const waiting = [iterator.next(), iterator.next(), iterator.next()];
    p.stdin?.end(line('getppid').repeat(2));
    for (const [i, call] of waiting.slice(0, 2).entries()) expect((await call).value?.succeed(i)).toBe(true);
    expect(await results(p)).toEqual(['0 0', '1 0']);
    expect(await waiting[2]).toEqual({ done: true, value: undefined });
  });

  it.each(WAYS)('reaches a program in namespaces of its own $way', async ({ user }) => {
    const namespaces = { user, pid: 'new', mount: 'new', uts: 'new' } as const;
    const { p, listener } = await trying(asking('getppid'), { namespaces, hostname: 'box' });
    p.stdin?.end(line('getppid') + line('getpid'));
    const call = await next(listener);
    expect([call.pid, call.succeed(5)]).toEqual([p.pid, true]);
    expect(await results(p)).toEqual(['5 0', '1 0']);
  });

  it.each(WAYS)('reaches a program that enters a running one $way', async ({ user }) => {
    const box = await spawn({ args: ['/bin/sleep', '30'], env: ENV, namespaces: { user, pid: 'new' } });
    const { seccomp, listener } = listening(asking('getppid'));
    const p = await enter(box, { ...plain, args: [tryIt, 'none', 'results'], stdio: ['pipe', 'pipe', 'pipe'], seccomp });
    p.stdin?.end(line('getppid'));
    expect(await answer(await listener, (call) => call.succeed(99))).toBe(1);
    expect(await results(p)).toEqual(['99 0']);
    await box[Symbol.asyncDispose]();
  });

  it.each(WAYS)('goes together with descriptors of the program’s own and with a first process that reaps, $way', async ({ user }) => {
    for (const init of [false, true]) {
      using file = Fd.of(openSync('/proc/self/comm', 'r'));
      let whose: number | undefined;
      const told = listening(asking('getppid', 'getpgrp'));
      const seccomp: SeccompFilter = {
        ...told.seccomp,
        onListener: (fd, process) => {
          whose = process.pid;
          told.seccomp.onListener?.(fd, process);
        },
      };
      const p = await spawn({
        ...plain,
        args: ['/bin/sh', '-c', `cat <&7; ls /proc/self/fd | tr '\\n' ' '; exec ${tryIt} none results`],
        namespaces: { user, pid: 'new', mount: 'new' },
        mounts: [{ type: 'proc', target: '/proc' }],
        stdio: ['pipe', 'pipe', 'pipe'],
        fds: { 7: file },
        init,
        seccomp,
      });
      p.stdin?.end(line('getppid'));
      const answered = answer(await told.listener, (call) => call.succeed(call.name === 'getppid' ? 77 : 1));
      const ran = await finished(p);
      // 3 is the folder that ls looks at.
      expect([init, ran.stderr, ran.stdout.split('\n').slice(1)]).toEqual([init, '', ['0 1 2 3 7 77 0', '']]);
      expect(await answered).toBeGreaterThan(0);
      expect(whose).toBe(p.pid);
    }
  });

  it('takes the flags of seccomp(2)', async () => {
    const flags = ['LOG', 'SPEC_ALLOW', 'TSYNC'].map((name) => `SECCOMP_FILTER_FLAG_${name}`);
    const program = compileSeccomp({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['getppid'], action: 'SCMP_ACT_ERRNO', errnoRet: 99 }],
    });
    const p = await spawn({ ...plain, args: [tryIt, 'none', 'results'], stdio: ['pipe', 'pipe', 'pipe'], seccomp: { program, flags } });
    p.stdin?.end(line('getppid'));
    expect(await results(p)).toEqual(['-1 99']);

    const killable = [...flags, 'SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'];
    const asked = await trying(asking('getppid'), {}, killable);
    asked.p.stdin?.end(line('getppid'));
    expect(await answer(asked.listener, (call) => call.succeed(3))).toBe(1);
    expect(await results(asked.p)).toEqual(['3 0']);
  });

  it('leaves one thread, and nothing open', async () => {
    await answer((await trying(asking('getppid'), { args: ['/bin/true'] })).listener, () => {});
    const check = leaks();
    for (let i = 0; i < 20; i++) {
      const { p, listener } = await trying(asking('getppid'), { args: ['/bin/sh', '-c', 'grep Threads /proc/self/status'] });
      const output = p.stdout ? text(p.stdout) : '';
      await answer(listener, (call) => call.continue());
      expect(await output).toBe('Threads:\t1\n');
      await p.cleaned;
      p.closeStreams();
    }
    await check.assertClean();
  });

  it('is not handed over when the filter cannot be loaded', async () => {
    // A jump out of the program: EINVAL.
    const program = new Uint8Array([0x05, 0, 0, 0, 9, 0, 0, 0, 0x06, 0, 0, 0, 0, 0, 0xc0, 0x7f]);
    let called = false;
    const onListener = () => {
      called = true;
    };
    const check = leaks();
    expect(await messageOf(spawn({ ...plain, args: ['/bin/true'], seccomp: { program, onListener } }))).toMatchInlineSnapshot(`
      "start /bin/true: load the seccomp filter: listen_seccomp: EINVAL (invalid argument)
        listen_seccomp(SECCOMP_FILTER_FLAG_NEW_LISTENER, {2 instructions}, seccomp.listener)"
    `);
    await check.assertClean();
    expect(called).toBe(false);
    if (asRoot) return;
    const r = spawn({ args: ['/bin/true'], seccomp: { program: asking('getppid'), onListener } });
    expect(await messageOf(r)).toContain('listen_seccomp: EACCES');
  });

  it('is handed over once, also when the program cannot be started', async () => {
    const { seccomp, listener } = listening(asking('getppid'));
    expect(await messageOf(spawn({ ...plain, args: ['/there/is/none'], seccomp }))).toContain('execve: ENOENT');
    expect(await answer(await listener, () => {})).toBe(0);
  });

  it.each([
    [{ program: asking('getppid'), flags: ['SECCOMP_FILTER_FLAG_NEW_LISTENER'] }, 'give onListener'],
    [{ program: asking('getppid'), flags: ['SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV'] }, 'which needs onListener'],
    [{ program: asking('getppid'), flags: ['SECCOMP_FILTER_FLAG_LGO'] }, 'did you mean "SECCOMP_FILTER_FLAG_LOG"?'],
    [{ program: compileSeccomp({ defaultAction: 'SCMP_ACT_LOG' }), onListener: () => {} }, 'never answers SCMP_ACT_NOTIFY'],
    [{ program: asking('getppid'), onlistener: () => {} }, 'did you mean "onListener"?'],
    [{ program: new Uint8Array(7) }, 'expected "seccomp.program"'],
    [{ program: asking('getppid'), onListener: 1 }, 'a function that takes an Fd'],
    ['default', 'the bytes of a filter program'],
  ])('refuses what cannot work: %#', async (seccomp, message) => {
    expect(await messageOf(spawn({ args: ['/bin/true'], seccomp: seccomp as SeccompFilter }))).toContain(message);
  });

  it.each(WAYS)('and a filter without no_new_privs, by a right that the program does not get, $way', async ({ user }) => {
    const program = compileSeccomp({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [{ names: ['getppid'], action: 'SCMP_ACT_ERRNO', errnoRet: 99 }],
    });
    const status = ['/bin/sh', '-c', 'grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status | tr "\\n" " "'];
    const sets = {
      bounding: ['CAP_CHOWN'],
      permitted: ['CAP_CHOWN'],
      effective: ['CAP_CHOWN'],
      inheritable: ['CAP_CHOWN'],
      ambient: ['CAP_CHOWN'],
    };
    const facts = async (o: Partial<SpawnOptions>) =>
      (await finished(await spawn({ args: status, env: ENV, seccomp: program, namespaces: { user }, ...o }))).stdout
        .replaceAll(/\s+/g, ' ')
        .trim();
    const one = '0000000000000001';
    expect(await facts({ capabilities: sets })).toBe(
      `CapInh: ${one} CapPrm: ${one} CapEff: ${one} CapBnd: ${one} CapAmb: ${one} NoNewPrivs: 0 Seccomp: 2`,
    );
    if (user === 'new') return;
    const nobody = { uid: 65534, gid: 65534 };
    expect(await facts({ user: nobody, capabilities: sets })).toBe(
      `CapInh: ${one} CapPrm: ${one} CapEff: ${one} CapBnd: ${one} CapAmb: ${one} NoNewPrivs: 0 Seccomp: 2`,
    );
    const none = '0000000000000000';
    expect(await facts({ user: nobody })).toMatch(
      new RegExp(`CapPrm: ${none} CapEff: ${none} CapBnd: \\w+ CapAmb: ${none} NoNewPrivs: 0 Seccomp: 2`),
    );
  });

  it.skipIf(asRoot)('says what is missing where nobody has the right', async () => {
    const r = spawn({ args: ['/bin/true'], env: ENV, seccomp: asking('getppid') });
    expect(await messageOf(r)).toMatchInlineSnapshot(`
      "start /bin/true: load the seccomp filter: seccomp: EACCES (permission denied)
        seccomp(SECCOMP_SET_MODE_FILTER, 0, {10 instructions})
        hint: a filter needs noNewPrivileges: true, or CAP_SYS_ADMIN in a user namespace of its own"
    `);
  });

  it('refuses answers that are none', async () => {
    const { p, listener } = await trying(asking('getppid'));
    p.stdin?.end(line('getppid'));
    const call = await next(listener);
    for (const wrong of [0, -1, 4096, 1.5, 'EPREM']) expect(() => call.fail(wrong)).toThrow('expected "error"');
    using fd = Fd.of(openSync('/dev/null', 'r'));
    expect(() => call.addFd(fd, { at: -5 })).toThrow('expected "at"');
    expect(call.succeed(1)).toBe(true);
    await results(p);
  });
});
