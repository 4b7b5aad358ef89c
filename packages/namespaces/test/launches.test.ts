// Many launches, large ones, and those for which something is missing: descriptors, memory.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { named, type Step, slot } from '@ctr/internal/steps';
import { makeTempDir, need, ownCgroups, rounds } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type SpawnOptions, spawn } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { AT_FDCWD, atFlags } from '../src/steps/flags.js';
import { bundle, start } from './node-child.js';
import { asRoot, ENV, leaks, messageOf, run, shell, WAYS } from './run.js';

const userns = need('userns');
const root = need('root');
/** Only root may look into the monitor; an ordinary user's tests see this process's side alone. */
const monitorFds = (): number => (asRoot ? readdirSync(`/proc/${Launcher.current.pid}/fd`).length : 0);
/** Of the monitor, in kB: what it keeps for each process must go with it. */
const monitorMemory = (): number => Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${Launcher.current.pid}/status`, 'utf8'))?.[1]);

describe('large plans', () => {
  it('a megabyte of environment, through a memfd', async () => {
    const env: Record<string, string> = { ...ENV };
    for (let i = 0; i < 10; i++) env[`BIG_${i}`] = String(i).repeat(100_000);
    const r = await run({ args: ['sh', '-c', 'printf %s "$BIG_0" | wc -c; printf %s "$BIG_9" | wc -c; env | wc -c'], env });
    expect(r.stdout).toMatch(/^100000\n100000\n1000\d{3}\n$/);
  });

  it('fifteen thousand variables, looked up in a long PATH', async () => {
    const env: Record<string, string> = { PATH: `${Array.from({ length: 20 }, (_, i) => `/nowhere/${i}`).join(':')}:/usr/bin:/bin` };
    for (let i = 0; i < 15_000; i++) env[`V${i}`] = `${i}`;
    const r = await run({ args: ['env'], env });
    expect(r.stdout.split('\n').length).toBe(15_002);
  });

  it('thousands of arguments', async () => {
    const args = Array.from({ length: 20_000 }, (_, i) => `argument ${i}`);
    expect((await run({ args: ['sh', '-c', 'echo $#', ...args] })).stdout).toBe('19999\n');
  });

  it('a plan of a size at each side of the limit of a datagram', async () => {
    for (const size of [90_000, 96_000, 97_000, 98_304, 100_000]) {
      expect(await shell('printf %s "$A" | wc -c', { env: { ...ENV, A: 'x'.repeat(size) } })).toBe(String(size));
    }
  });

  it('what the kernel does not take is told, and nothing is left', async () => {
    await shell('true');
    const check = leaks();
    const env = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`V${i}`, 'x'.repeat(120_000)]));
    expect((await messageOf(spawn({ args: ['/bin/true'], env }))).split('\n')[0]).toMatchInlineSnapshot(
      `"start /bin/true: run /bin/true: execve: E2BIG (argument list too long)"`,
    );
    await check.assertClean();
  });

  it('twenty thousand steps', async () => {
    const dir = makeTempDir('steps');
    const steps = Array.from(
      { length: 10_000 },
      (_, i): Step => ({ call: 'mkdirat', args: [AT_FDCWD, path.join(dir, `d${i % 100}`), 0o700], allow: ['EEXIST'] }),
    );
    const cleanup = Array.from(
      { length: 10_000 },
      (_, i): Step => ({ call: 'unlinkat', args: [AT_FDCWD, path.join(dir, `d${i % 100}`), atFlags('AT_REMOVEDIR')], allow: ['ENOENT'] }),
    );
    await run({ args: ['true'], prepare: steps, cleanup });
    expect(readdirSync(dir)).toEqual([]);
  });

  it('more steps than can be counted are refused', async () => {
    const steps = Array.from({ length: 70_000 }, (): Step => ({ call: 'getpid', args: [] }));
    expect(await messageOf(run({ args: ['true'], prepare: steps }))).toMatchInlineSnapshot(
      `"expected "plan" to be at most 65535 steps, arguments and variables, received 70000 (number)"`,
    );
  });
});

describe.skipIf(!userns.ok)(userns.title('many launches'), () => {
  describe.each(WAYS)('$way', ({ user }) => {
    const o = (code: number): SpawnOptions => ({
      args: ['/bin/sh', '-c', `exit ${code}`],
      env: ENV,
      namespaces: { user, pid: 'new', mount: 'new', uts: 'new', ipc: 'new' },
      mounts: [{ type: 'tmpfs', target: '/mnt' }],
      hostname: 'many',
    });

    it('500 in a row leave nothing: no descriptor here, none in the monitor, no zombie, no memory', async () => {
      for (let i = 0; i < 20; i++) await run(o(0));
      const check = leaks();
      const [fds, memory] = [monitorFds(), monitorMemory()];
      for (let i = 0; i < rounds(500); i++) expect((await run(o(i % 256))).exitCode).toBe(i % 256);
      expect(monitorFds()).toBe(fds);
      expect(monitorMemory() - memory).toBeLessThan(200);
      await check.assertClean();
    });

    it('100 at once, and 300 more than the monitor has places for', async () => {
      await run(o(0));
      const check = leaks();
      const fds = monitorFds();
      for (const n of [rounds(100), rounds(300)]) {
        const codes = await Promise.all(Array.from({ length: n }, async (_, i) => (await run(o(i % 256))).exitCode));
        expect(codes).toEqual(Array.from({ length: n }, (_, i) => i % 256));
      }
      expect(monitorFds()).toBe(fds);
      await check.assertClean();
    });

    it('100 at once of which every second one fails', async () => {
      await run(o(0));
      const check = leaks();
      const fds = monitorFds();
      const all = await Promise.allSettled(Array.from({ length: 100 }, (_, i) => run(i % 2 ? o(0) : { ...o(0), cwd: '/nowhere' })));
      expect(all.map((r) => r.status)).toEqual(Array.from({ length: 100 }, (_, i) => (i % 2 ? 'fulfilled' : 'rejected')));
      expect(monitorFds()).toBe(fds);
      await check.assertClean();
    });
  });

  it('keep 200 running, and end them all', async () => {
    await shell('true');
    const check = leaks();
    const all = await Promise.all(
      Array.from({ length: 200 }, () => spawn({ args: ['sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] })),
    );
    expect(await shell('echo one more')).toBe('one more');
    for (const p of all) p.kill('SIGKILL');
    await Promise.all(all.map((p) => p.cleaned));
    await check.assertClean();
  });

  it('of which many end while this process does not listen', async () => {
    await shell('true');
    const all = await Promise.all(
      Array.from({ length: 150 }, (_, i) =>
        spawn({ args: ['sh', '-c', `sleep 0.1; exit ${i}`], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] }),
      ),
    );
    // 300 messages more than the socket may hold: the monitor waits, and nothing is lost.
    const until = performance.now() + 1500;
    while (performance.now() < until);
    expect((await Promise.all(all.map((p) => p.exited))).map((e) => e.exitCode)).toEqual(all.map((_, i) => i));
  });
});

describe('without descriptors', () => {
  // Each launch needs three or four in the monitor, and some in Node: whichever is the first to have none must say so.
  const script = `
    import { spawn, Fd } from 'ns';
    import { openSync, closeSync, readdirSync } from 'node:fs';
    const env = { PATH: '${ENV.PATH}' };
    const one = (out) => spawn({ args: ['true'], env, stdio: ['ignore', out, out], namespaces: { ...(process.getuid() === 0 ? {} : { user: 'new' }), pid: 'new' } });
    const first = await one('pipe');
    await first.cleaned;
    first.closeStreams();
    const open = () => readdirSync('/proc/self/fd').length;
    const before = open();
    const outcomes = new Set();
    for (const out of ['pipe', 'ignore']) for (let left = 0; left < 12; left++) {
      const taken = [];
      // Up to the limit, then so many fewer.
      for (;;) { try { taken.push(openSync('/dev/null')); } catch { break; } }
      for (let i = 0; i < left; i++) closeSync(taken.pop());
      const r = await one(out).catch((e) => e);
      for (const fd of taken) closeSync(fd);
      if (r instanceof Error) outcomes.add(r.message.split('\\n')[0]);
      else { await r.cleaned; r.closeStreams(); outcomes.add('ran'); }
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(JSON.stringify([[...outcomes], open() - before]));
  `;
  let file: string;
  beforeAll(async () => {
    file = await bundle(script);
  });

  it('in Node: every number that is left gives an error with a name, and nothing hangs or leaks', async () => {
    const limited = await bundle(`
      import { spawnSync } from 'node:child_process';
      const r = spawnSync('/bin/sh', ['-c', 'ulimit -n 60; exec ' + process.execPath + ' ' + process.argv[2]], { stdio: ['ignore', 'inherit', 'inherit'] });
      process.exit(r.status ?? 1);
    `);
    const node = start(limited, [file]);
    const [outcomes, leaked] = JSON.parse(await node.line()) as [string[], number];
    expect(outcomes.sort()).toMatchInlineSnapshot(`
      [
        "make the pipes of the standard streams: pipe2: EMFILE (too many open files in the process)",
        "ran",
        "start true: take the process over: recvmsg: EMFILE (too many open files in the process)",
      ]
    `);
    expect(leaked).toBe(0);
    await node.ended;
  });

  it.skipIf(!root.ok)(root.title('in the monitor: the launch is refused with the errno, and later ones work'), async () => {
    await shell('true');
    const check = leaks();
    const before = monitorFds();
    // prlimit(2) on another process needs nothing but being its user, or root.
    const { execFileSync } = await import('node:child_process');
    const limit = (n: number): unknown => execFileSync('prlimit', [`--pid=${Launcher.current.pid}`, `--nofile=${n}:`]);
    const had = /Max open files\s+(\d+)/.exec(readFileSync(`/proc/${Launcher.current.pid}/limits`, 'utf8'))?.[1];
    const outcomes = new Map<number, string>();
    try {
      for (let more = 0; more < 8; more++) {
        limit(before + more);
        const r = await run({ args: ['/bin/true'] }).then(
          () => 'ran',
          (e: Error) => e.message.split('\n')[0] as string,
        );
        outcomes.set(more, r);
      }
    } finally {
      limit(Number(had));
    }
    expect([...new Set(outcomes.values())]).toMatchInlineSnapshot(`
      [
        "start /bin/true: hand the plan to the monitor: recvmsg: EMFILE (too many open files in the process)",
        "start /bin/true: make the process and its namespaces: clone3: EMFILE (too many open files in the process)",
        "ran",
      ]
    `);
    expect(await shell('echo later')).toBe('later');
    expect(monitorFds()).toBe(before);
    await check.assertClean();
  });
});

const memory = need('root', 'cgroup1:memory');

describe.skipIf(!memory.ok)(memory.title('a process whose memory limit is too small even to start'), () => {
  const base = ownCgroups().find((c) => c.version === 1 && c.controllers.includes('memory'))?.directory ?? '';
  const limited = (bytes: number): SpawnOptions => {
    const dir = path.join(base, `ctr-test-oom-${process.pid}`);
    return {
      args: ['/bin/true'],
      env: ENV,
      namespaces: { pid: 'new', mount: 'new', ipc: 'new' },
      mounts: [
        { type: 'tmpfs', target: '/mnt' },
        { type: 'proc', target: '/proc' },
      ],
      stdio: ['ignore', 'ignore', 'ignore'],
      cgroup: {
        prepare: [
          { call: 'mkdirat', args: [AT_FDCWD, dir, 0o755] },
          { call: 'openat', args: [AT_FDCWD, `${dir}/memory.limit_in_bytes`, named(0o2000001, 'O_WRONLY|O_CLOEXEC')], into: 'limit' },
          { call: 'write', args: [slot('limit'), String(bytes), String(bytes).length] },
          { call: 'close', args: [slot('limit')] },
          { call: 'openat', args: [AT_FDCWD, `${dir}/tasks`, named(0o2000001, 'O_WRONLY|O_CLOEXEC')], into: 'tasks' },
        ],
        setup: [{ call: 'write', args: [slot('tasks'), '0', 1] }],
        collect: [],
        cleanup: [{ call: 'unlinkat', args: [AT_FDCWD, dir, atFlags('AT_REMOVEDIR')], allow: ['ENOENT'] }],
      },
    };
  };

  it('is killed by the kernel alone: the monitor and all others live on', async () => {
    const bystander = await spawn({ args: ['sleep', '600'], env: ENV, namespaces: { pid: 'new' }, stdio: ['ignore', 'ignore', 'ignore'] });
    const monitor = Launcher.current.pid;
    const outcomes: string[] = [];
    for (const bytes of [4096, 8192, 16_384, 65_536, 1 << 22]) {
      const r = await spawn(limited(bytes)).catch((e: Error) => e);
      if (r instanceof Error) outcomes.push(r.message);
      else outcomes.push(String((await r.exited).signal ?? (await r.exited).exitCode));
      if (!(r instanceof Error)) await r.cleaned;
    }
    expect(outcomes.at(-1)).toBe('0');
    expect(outcomes[0]).toMatchInlineSnapshot(`
      "start /bin/true: the process was killed before its program ran: execve: EINTR (interrupted)
        hint: the kernel kills what starts with too small a memory limit; otherwise somebody sent it SIGKILL"
    `);
    expect([Launcher.current.pid, bystander.ended]).toEqual([monitor, false]);
    await bystander[Symbol.asyncDispose]();
  });
});

describe('the dead', () => {
  it('are reaped by the monitor, and it is reaped here', async () => {
    await shell('true');
    const { closeLauncher } = await import('../src/index.js');
    const monitor = Launcher.current.pid;
    await closeLauncher();
    expect(readdirSync('/proc').includes(String(monitor))).toBe(false);
    if (asRoot) expect(await shell('echo root')).toBe('root');
    else expect(await shell('echo user')).toBe('user');
  });
});
