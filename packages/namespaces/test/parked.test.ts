// Processes that wait inside of a container for their program: what they become is what enter() starts, and nothing of them is left over.
import { mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Fd } from '@ctr/internal/fd';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type CapabilitySets,
  type ContainerProcess,
  compileSeccomp,
  defaultSeccompFilter,
  type EnterOptions,
  enter,
  enterTemplate,
  type ParkedProcess,
  type StartError,
  spawn,
} from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { closeFds, native } from '../src/native.js';
import { planSource } from '../src/plan/plan-source.js';
import { alwaysAllows } from '../src/seccomp/always-allows.js';
import { describeParked } from '../src/spawn/enter.js';
import { defaultHints } from '../src/spawn/hints.js';
import { PARK_SLOT, PARKED_CALLS } from '../src/steps/park.js';
import { buildFacts, parseFacts } from './facts.js';
import { bundle, runs, start, until } from './node-child.js';
import { asRoot, ENV, finished, leaks, WAYS } from './run.js';

const needs = need('userns', 'static-cc');
const MANY = 500;
const PATIENCE_MS = 10_000;
const MOST_MEMORY = 2 ** 26;

/** The regions of a process's memory that can be written, as one text. */
function memoryOf(pid: number): string {
  const mem = openSync(`/proc/${pid}/mem`, 'r');
  try {
    return readFileSync(`/proc/${pid}/maps`, 'utf8')
      .split('\n')
      .flatMap((line) => {
        const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line) ?? [];
        if (from === '') return [];
        const size = Number.parseInt(to, 16) - Number.parseInt(from, 16);
        // What AddressSanitizer keeps beside the program's own.
        if (size > MOST_MEMORY) return [];
        const bytes = Buffer.alloc(size);
        readSync(mem, bytes, 0, bytes.length, Number.parseInt(from, 16));
        return [bytes.toString('latin1')];
      })
      .join('\n');
  } finally {
    closeFdsOf(mem);
  }
}
const closeFdsOf = (fd: number): void => Fd.of(fd).close();

const failure = (work: Promise<unknown>): Promise<StartError> =>
  work.then(
    () => expect.unreachable('it started'),
    (error) => error as StartError,
  );

describe.skipIf(!needs.ok)(needs.title('parked processes'), () => {
  let program: string;
  beforeAll(() => {
    program = buildFacts();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    let box: ContainerProcess;
    const makeBox = (): Promise<ContainerProcess> =>
      spawn({
        args: ['sleep', '1000'],
        env: ENV,
        namespaces: { user, pid: 'new', uts: 'new', ipc: 'new', network: 'new' },
        hostname: 'box',
        stdio: ['ignore', 'ignore', 'ignore'],
      });
    beforeAll(async () => {
      box = await makeBox();
    });
    afterAll(() => box?.[Symbol.asyncDispose]());

    const park = (o: Partial<EnterOptions> = {}): Promise<ParkedProcess> => enterTemplate(box, { args: ['true'], env: ENV, ...o }).park();

    it('become what enter() starts, in every attribute', async () => {
      const sets = {
        bounding: ['CAP_KILL', 'CAP_CHOWN'],
        effective: ['CAP_KILL'],
        permitted: ['CAP_KILL'],
        inheritable: ['CAP_KILL'],
        ambient: ['CAP_KILL'],
      };
      const options = {
        args: [program],
        env: { A: 'b' },
        cwd: '/usr',
        user: user === 'host' ? { uid: 1234, gid: 2345, groups: [7, 8], umask: 0o027 } : { uid: 0, gid: 0, umask: 0o027 },
        capabilities: sets as unknown as CapabilitySets,
        noNewPrivileges: true,
        rlimits: { nofile: { soft: 30, hard: 40 }, core: { soft: 0, hard: 0 } },
        oomScoreAdj: 700,
        nice: 19,
        seccomp: compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW' }),
        personality: { domain: 'LINUX32' as const },
        parentDeathSignal: 'SIGTERM' as const,
      };
      const usual = await finished(await enter(box, options));
      const parked = await enterTemplate(box, options).park();
      expect(readFileSync(`/proc/${parked.pid}/comm`, 'utf8')).toBe('ctr-parked\n');
      const process = await parked.enter({ args: [program], env: { A: 'b' } });
      expect(process.pid).toBe(parked.pid);
      const told = await finished(process);
      // A session keyring of its own.
      const [{ keyring, ...own }, { keyring: theirs, ...expected }] = [parseFacts(told.stdout), parseFacts(usual.stdout)];
      expect(own).toEqual(expected);
      expect(keyring === theirs).toBe(keyring === '-1' || keyring === undefined);
      expect(told).toMatchObject({ exitCode: usual.exitCode, stderr: usual.stderr });
    });

    it('keep a filter that needs a right which the program is not to have', async () => {
      const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
      const parked = await park({ seccomp: compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW' }), capabilities: none });
      const status = readFileSync(`/proc/${parked.pid}/status`, 'utf8');
      expect(status).toMatch(/^Seccomp:\t2$/m);
      expect(status).toMatch(/^CapEff:\t0{16}$/m);
      expect(status).toMatch(/^CapBnd:\t0{16}$/m);
      expect(status).toMatch(/^NoNewPrivs:\t0$/m);
      expect(await finished(await parked.enter({ args: ['true'], env: ENV }))).toMatchObject({ exitCode: 0 });
    });

    it('take arguments, environment, streams and descriptors of their own, and the directory as it then is', async () => {
      const dir = mkdtempSync(path.join(tmpdir(), 'ctr-parked-'));
      try {
        const made = enterTemplate(box, { args: ['true'], cwd: path.join(dir, 'work'), createCwd: true });
        const parked = await Promise.all([made.park(), made.park()]);
        // Not there before.
        expect((await failure((parked[0] as ParkedProcess).enter({ args: ['pwd'], env: ENV }))).message).toContain('ENOENT');
        writeFileSync(path.join(dir, 'out'), '');
        mkdirSync(path.join(dir, 'work'), { mode: 0o755 });
        const out = openSync(path.join(dir, 'out'), 'w');
        const process = await (parked[1] as ParkedProcess).enter({
          args: ['sh', '-c', 'read line; echo "$line $X"; pwd; echo bad >&2; exit 3'],
          env: { ...ENV, X: 'x y' },
          stdio: ['pipe', Fd.of(out), 'pipe'],
        });
        closeFdsOf(out);
        process.stdin?.end('from here\n');
        expect(process.stdout).toBeNull();
        expect(await finished(process)).toMatchObject({ exitCode: 3, stderr: 'bad\n' });
        expect(readFileSync(path.join(dir, 'out'), 'utf8')).toBe(`from here x y\n${dir}/work\n`);
      } finally {
        rmSync(dir, { recursive: true, force: true });
      }
    });

    it.each([
      ['a program that is not there', ['/does/not/exist'], {}],
      ['one that is in no folder of PATH', ['no-such-program'], {}],
      ['a folder', ['/usr'], {}],
      ['a working directory that is not there', ['true'], { cwd: '/does/not/exist' }],
    ])('fail as enter() does: %s', async (_, args, o: Partial<EnterOptions>) => {
      const start = { args, env: ENV, doing: 'run it' };
      const usual = await failure(enter(box, { ...o, ...start }));
      const before = readdirSync('/proc/self/fd').length;
      const parked = await park(o);
      const error = await failure(parked.enter(start));
      expect(error.message).toBe(usual.message);
      expect([error.code, error.errno, error.stage, error.step?.call, error.path]).toEqual([
        usual.code,
        usual.errno,
        usual.stage,
        usual.step?.call,
        usual.path,
      ]);
      expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before);
    });

    it('are used once, and refuse what is wrong without being used up', async () => {
      const parked = await park();
      await expect(parked.enter({ args: [] })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
      await expect(parked.enter({ args: ['true'], fds: {} })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
      await expect(parked.enter({ args: ['true', 'x'.repeat(100_000)] })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
      expect(parked.ready).toBe(true);
      await expect(parked.enter({ args: ['true'], signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
      expect(await finished(await parked.enter({ args: ['true'], env: ENV }))).toMatchObject({ exitCode: 0 });
      expect([parked.ready, parked.ended]).toEqual([false, false]);
      await expect(parked.enter({ args: ['true'], env: ENV })).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
      await parked[Symbol.asyncDispose]();
    });

    it('end when they are disposed of, when they are killed, and with their container', async () => {
      const parked = await park();
      await parked[Symbol.asyncDispose]();
      expect([runs(parked.pid), parked.ready]).toEqual([false, false]);

      const killed = await park();
      process.kill(killed.pid, 'SIGKILL');
      const error = await failure(killed.enter({ args: ['true'], env: ENV }));
      expect(error).toMatchObject({ code: 'CTR_START_FAILED', errno: -4, stage: 'setup' });
      expect([killed.ended, killed.ready]).toEqual([true, false]);

      const other = await makeBox();
      const inside = await enterTemplate(other, { args: ['true'] }).park();
      await other[Symbol.asyncDispose]();
      await until(() => (runs(inside.pid) || inside.ready ? [inside.pid] : []), PATIENCE_MS);
      expect(inside.ended).toBe(true);
    });

    it('end when nobody holds them', async () => {
      setFlagsFromString('--expose-gc');
      const gc = runInNewContext('gc') as () => void;
      const pid = await (async () => (await park()).pid)();
      await until(() => {
        gc();
        return runs(pid) ? [pid] : [];
      }, PATIENCE_MS);
    });

    it('that somebody stopped are ended, and whoever waits is told', async () => {
      const parked = await park();
      process.kill(parked.pid, 'SIGSTOP');
      const error = await failure(parked.enter({ args: ['true'], env: ENV, doing: 'run it' }));
      expect(error.message).toBe('run it: wait for a program: await_program: ETIMEDOUT (timed out)\n  await_program(park)');
      await until(() => (runs(parked.pid) ? [parked.pid] : []), PATIENCE_MS);
    });

    it('are given up by a signal', async () => {
      const parked = await park();
      process.kill(parked.pid, 'SIGSTOP');
      const abort = new AbortController();
      const started = parked.enter({ args: ['true'], env: ENV, signal: abort.signal });
      abort.abort();
      await expect(started).rejects.toMatchObject({ name: 'AbortError' });
      expect(runs(parked.pid)).toBe(false);
    });

    it('take nothing but a whole message', async () => {
      const whole = Buffer.alloc(192);
      whole.writeUInt32LE(0x31727463, 0);
      const messages = [
        Buffer.alloc(1),
        Buffer.alloc(192),
        whole,
        Buffer.concat([whole, Buffer.alloc(64, 0xff)]),
        Buffer.alloc(100_000, 7),
      ];
      for (const message of messages) {
        const [ours, theirs] = native().socketPair();
        const kinds = box.namespaces;
        const plan = describeParked({ pid: box.pid, pidfd: box.pidfd.fd }, { args: ['true'] }, kinds);
        const source = planSource({ ...plan, fds: { ...plan.fds, [PARK_SLOT]: theirs } });
        const launch = await Launcher.current.park(source, defaultHints, [theirs]);
        native().sendProgram(ours, message, new Int32Array(), new Int32Array(3));
        const error = await failure(launch.started);
        // Without a header it is as if there were no message.
        expect([error.stage, error.code]).toEqual([
          message === messages[2] || message === messages[3] ? 'decode' : 'setup',
          'CTR_START_FAILED',
        ]);
        await launch.cleaned;
        expect(runs(launch.pid)).toBe(false);
        closeFds([ours]);
      }
    });

    it('many wait at once, and many follow each other, and leave nothing', async () => {
      const made = enterTemplate(box, { args: ['true'], stdio: ['ignore', 'pipe', 'ignore'] });
      const frozen = Object.freeze({ args: Object.freeze(['sh', '-c', 'echo $$']), env: Object.freeze({ ...ENV }) });
      const once = async (parked: ParkedProcess): Promise<string> => (await finished(await parked.enter(frozen))).stdout;
      await once(await made.park());
      const check = leaks();
      const fds = (): number => readdirSync('/proc/self/fd').length;
      const theirs = (): string => (asRoot ? String(readdirSync(`/proc/${Launcher.current.pid}/fd`).length) : '');
      const [before, theirsBefore] = [fds(), theirs()];
      // More than the monitor has places for launches.
      const waiting = await Promise.all(Array.from({ length: 60 }, () => made.park()));
      expect(await finished(await made.enter(frozen))).toMatchObject({ exitCode: 0 });
      expect(new Set(await Promise.all(waiting.map(once))).size).toBe(60);
      for (let i = 0; i < MANY; i += 10) await Promise.all(Array.from({ length: 10 }, async () => once(await made.park())));
      await check.assertClean({ withinMs: PATIENCE_MS });
      expect(fds()).toBeLessThanOrEqual(before);
      expect(theirs()).toBe(theirsBefore);
    }, 60_000);

    it('are refused where a start has something of its own, or a filter would not let them go on', async () => {
      const unsupported: Partial<EnterOptions>[] = [
        { tty: true },
        { fds: { 3: Fd.of(0) } },
        ...PARKED_CALLS.map((name) => ({
          seccomp: compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: [name], action: 'SCMP_ACT_ERRNO' as const }] }),
        })),
      ];
      for (const o of unsupported) await expect(park(o)).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
    });

    it.skipIf(!asRoot)('have nothing in their memory of what else was started', async () => {
      const secret = `password-${'s'.repeat(40)}`;
      const env = { ...ENV, SECRET: secret };
      // In many places of the monitor, in a datagram and in a memory file.
      const large = { ...env, LARGE: 'x'.repeat(100_000) };
      await Promise.all(
        Array.from({ length: 30 }, async (_, i) => finished(await enter(box, { args: ['true'], env: i % 2 ? env : large }))),
      );
      const usual = enter(box, { args: ['true'], env: large });
      const parked = await park();
      expect(await finished(await usual)).toMatchObject({ exitCode: 0 });
      expect(memoryOf(Launcher.current.pid)).toContain(secret);
      expect(memoryOf(parked.pid)).not.toContain(secret);
      await parked[Symbol.asyncDispose]();
    });
  });

  it('die with Node, however that ends, and do not keep it', async () => {
    const script = await bundle(`
      import { enterTemplate, spawn } from 'ns';
      const namespaces = { ${asRoot ? '' : "user: 'new', "}pid: 'new' };
      const box = await spawn({ args: ['sleep', '600'], env: { PATH: process.env.PATH }, namespaces, stdio: ['ignore', 'ignore', 'ignore'] });
      const parked = await enterTemplate(box, { args: ['true'] }).park();
      console.log(box.pid, parked.pid);
      if (process.argv[2] === 'unref') box.unref();
    `);
    for (const way of ['unref', 'SIGKILL', 'SIGTERM']) {
      const child = start(script, [way]);
      const pids = (await child.line()).split(' ').map(Number);
      if (way !== 'unref') child.process.kill(way as NodeJS.Signals);
      expect(await child.ended).toMatchObject(way === 'unref' ? { code: 0 } : { signal: way });
      await until(() => pids.filter(runs), PATIENCE_MS);
    }
  }, 60_000);
});

describe('alwaysAllows', () => {
  const filter = (syscalls: Parameters<typeof compileSeccomp>[0]['syscalls']): Uint8Array =>
    compileSeccomp({ defaultAction: 'SCMP_ACT_ERRNO', syscalls });

  it('knows what a filter lets through whatever the arguments', () => {
    expect(alwaysAllows(defaultSeccompFilter([]), PARKED_CALLS)).toBe(true);
    expect(alwaysAllows(defaultSeccompFilter([]), ['mount'])).toBe(false);
    // Only for some personalities.
    expect(alwaysAllows(defaultSeccompFilter([]), ['personality'])).toBe(false);
    const allow = 'SCMP_ACT_ALLOW' as const;
    expect(alwaysAllows(filter([{ names: ['read', 'write'], action: allow }]), ['read', 'write'])).toBe(true);
    expect(alwaysAllows(filter([{ names: ['read'], action: allow }]), ['read', 'write'])).toBe(false);
    expect(alwaysAllows(filter([{ names: ['read'], action: 'SCMP_ACT_LOG' }]), ['read'])).toBe(false);
    const some = filter([{ names: ['read'], action: allow, args: [{ index: 0, value: 3, op: 'SCMP_CMP_NE' }] }]);
    expect(alwaysAllows(some, ['read'])).toBe(false);
    expect(alwaysAllows(new Uint8Array([1, 2, 3]), ['read'])).toBe(false);
  });
});
