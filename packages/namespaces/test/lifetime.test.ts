// Whatever dies, and whenever: no process outlives this one's Node, and the clean-up steps have run.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { host, makeTempDir, need, rounds, slowness } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { closeLauncher, hold, type SpawnOptions, spawn } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { AT_FDCWD } from '../src/steps/flags.js';
import { bundle, runs, start, until } from './node-child.js';
import { asRoot, ENV, leaks, messageOf, shell } from './run.js';

const userns = need('userns');
host.define('python3', { test: () => host.program('python3') !== '', cure: 'install it: something must call prctl(2)' });
const python = need('python3');
const root = need('root');

/** Makes a directory with something in it; the clean-up removes it. */
const withState = (dir: string): Pick<SpawnOptions, 'prepare' | 'cleanup'> => ({
  prepare: [
    { call: 'mkdirat', args: [AT_FDCWD, dir, 0o700] },
    { call: 'mkdirat', args: [AT_FDCWD, `${dir}/inner`, 0o700] },
  ],
  cleanup: [{ call: 'remove_tree', args: [dir] }],
});

const isolated: SpawnOptions['namespaces'] = { ...(asRoot ? {} : { user: 'new' }), pid: 'new', mount: 'new', uts: 'new' };
const sleeper = (dir: string, more: Partial<SpawnOptions> = {}): SpawnOptions => ({
  args: ['sleep', '600'],
  env: ENV,
  namespaces: isolated,
  stdio: ['ignore', 'ignore', 'ignore'],
  ...withState(dir),
  ...more,
});

describe.skipIf(!userns.ok)(userns.title('when the monitor is killed'), () => {
  it('its processes die, the clean-up is done by another, and life goes on', async () => {
    const state = makeTempDir('state');
    const kinds: Partial<SpawnOptions>[] = [
      {},
      { namespaces: {} },
      { namespaces: { user: 'new' } },
      { namespaces: { user: 'new', pid: 'new' } },
      { args: ['sh', '-c', 'trap "" TERM HUP INT; sleep 600 & wait'] },
      ...(asRoot ? [{ user: { uid: 12_345, gid: 12_345 } }, { namespaces: {}, user: { uid: 12_345, gid: 12_345 } }] : []),
      { noNewPrivileges: true },
    ];
    const all = await Promise.all(kinds.map((k, i) => spawn(sleeper(path.join(state, String(i)), k))));
    const held = await hold({ doing: 'hold something', ...withState(path.join(state, 'held')) } as never);
    const monitor = Launcher.current.pid;
    process.kill(monitor, 'SIGKILL');
    const exits = await Promise.all(all.map((p) => p.exited));
    expect(exits.map((e) => e.signal)).toEqual(kinds.map(() => 'SIGKILL'));
    expect(all.filter((p) => runs(p.pid))).toEqual([]);
    await Promise.all([...all.map((p) => p.cleaned), held.release()]);
    expect(readdirSync(state)).toEqual([]);
    expect(Launcher.current.pid).not.toBe(monitor);
    expect(await shell('echo again')).toBe('again');
    expect(runs(monitor)).toBe(false);
  });

  it('at any moment of many launches, each is settled and nothing is left', async () => {
    await closeLauncher();
    const state = makeTempDir('state');
    const check = leaks({ directories: [state] });
    const outcomes = new Map<string, number>();
    for (let round = 0; round < rounds(25); round++) {
      const launches = Array.from({ length: 8 }, async (_, i) => {
        try {
          const p = await spawn(sleeper(path.join(state, `${round}-${i}`)));
          const { signal } = await p.exited;
          await p.cleaned;
          return `killed by ${signal}`;
        } catch (e) {
          const { code, message } = e as Error & { code?: string };
          return code === 'ECONNRESET' || code === 'EPIPE' ? code : message;
        }
      });
      await sleep(Math.random() * 12 * slowness);
      process.kill(Launcher.current.pid, 'SIGKILL');
      for (const o of await Promise.all(launches)) outcomes.set(o, (outcomes.get(o) ?? 0) + 1);
    }
    // Not one may hang or end otherwise; ECONNRESET and EPIPE are told for those that had not started.
    expect([...outcomes.keys()].filter((o) => !['killed by SIGKILL', 'ECONNRESET', 'EPIPE'].includes(o))).toEqual([]);
    await closeLauncher();
    await check.assertClean();
  });

  it.skipIf(!python.ok)(python.title('a program that had lost the signal of its parent’s death is killed by its pidfd'), async () => {
    // What a set-uid program does, without one: prctl(2), PR_SET_PDEATHSIG.
    const program = "import ctypes,time; ctypes.CDLL(None).prctl(1, 0, 0, 0, 0); print('safe', flush=True); time.sleep(600)";
    const p = await spawn({ args: ['python3', '-c', program], env: ENV, stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => p.stdout?.once('data', resolve));
    process.kill(Launcher.current.pid, 'SIGKILL');
    expect(await p.exited).toMatchObject({ signal: 'SIGKILL' });
    expect(runs(p.pid)).toBe(false);
    p.closeStreams();
  });

  it('the error of a launch says so', async () => {
    const stuck = spawn({ args: ['true'], env: ENV, prepare: [{ call: 'kill', args: [Launcher.current.pid, 19] }] });
    await sleep(50);
    process.kill(Launcher.current.pid, 'SIGKILL');
    expect(await messageOf(stuck)).toMatchInlineSnapshot(`
      "start true: talk to the monitor: recvmsg: ECONNRESET (connection reset)
        hint: the monitor process was killed; a new one starts with the next container"
    `);
  });
});

describe('a stopped monitor', () => {
  it('delays, and loses nothing', async () => {
    await shell('true');
    const monitor = Launcher.current.pid;
    process.kill(monitor, 'SIGSTOP');
    const work = Promise.all(Array.from({ length: rounds(300) }, () => shell('echo x')));
    await sleep(100);
    process.kill(monitor, 'SIGCONT');
    expect((await work).every((t) => t === 'x')).toBe(true);
    expect(Launcher.current.pid).toBe(monitor);
  });
});

describe('signals of a terminal', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGPIPE', 'SIGUSR1', 'SIGALRM'])('%s does not end the monitor', async (signal) => {
    await shell('true');
    const monitor = Launcher.current.pid;
    process.kill(monitor, signal);
    expect(await shell('echo alive')).toBe('alive');
    expect(Launcher.current.pid).toBe(monitor);
    const stat = readFileSync(`/proc/${monitor}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    // Its own session and process group: Ctrl-C at Node's terminal does not reach it.
    expect([stat[2], stat[3]]).toEqual([String(monitor), String(monitor)]);
  });
});

describe('closeLauncher', () => {
  it('kills and cleans up, says the truth of each end, and another monitor follows when there is work', async () => {
    const state = makeTempDir('state');
    const p = await spawn(sleeper(path.join(state, 'a'), { namespaces: {} }));
    const held = await hold({ doing: 'hold', ...withState(path.join(state, 'held')) } as never);
    const ended = await spawn({ args: ['true'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    await ended.exited;
    const monitor = Launcher.current.pid;
    await closeLauncher();
    expect(runs(monitor)).toBe(false);
    expect(readdirSync(state)).toEqual([]);
    expect(await p.exited).toMatchObject({ signal: 'SIGKILL' });
    await Promise.all([p.cleaned, held.release(), ended.cleaned]);
    expect(Launcher.existing).toBeUndefined();
    expect(await shell('echo again')).toBe('again');
    await closeLauncher();
    await closeLauncher();
  });

  it('rejects with what could not be cleaned up', async () => {
    const cleanup: SpawnOptions['cleanup'] = [{ call: 'unlinkat', args: [AT_FDCWD, '/nowhere', 0], doing: 'remove it' }];
    await spawn({ args: ['sleep', '600'], env: ENV, cleanup, stdio: ['ignore', 'ignore', 'ignore'] });
    expect(await messageOf(closeLauncher())).toMatchInlineSnapshot(
      `"clean up what was still running: clean up start sleep: remove it: unlinkat "/nowhere": ENOENT (no such file or directory)"`,
    );
  });

  it('takes no plan any more while it closes: the next one gets another monitor', async () => {
    await spawn({ args: ['sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    const closing = closeLauncher();
    expect(await shell('echo new')).toBe('new');
    await closing;
    await closeLauncher();
  });
});

const SCRIPT = `
import { hold, spawn } from 'ns';
const [state, mode] = process.argv.slice(2);
const env = { PATH: '${ENV.PATH}' };
const AT = -100;
const withState = (dir) => ({
  prepare: [{ call: 'mkdirat', args: [AT, dir, 0o700] }, { call: 'mkdirat', args: [AT, dir + '/inner', 0o700] }],
  cleanup: [{ call: 'remove_tree', args: [dir] }],
});
const namespaces = { ...(process.getuid() === 0 ? {} : { user: 'new' }), pid: 'new', mount: 'new', uts: 'new' };
const start = (i) => spawn({ args: ['sleep', '600'], env, namespaces, stdio: ['ignore', 'pipe', 'ignore'], ...withState(state + '/' + i) });
await hold({ doing: 'hold', ...withState(state + '/held') });
if (mode === 'launching') {
  console.log('ready');
  for (let i = 0; ; i += 4) {
    const some = await Promise.all([0, 1, 2, 3].map((n) => start(i + n)));
    if (i > 40) { for (const p of some) p.kill('SIGKILL'); await Promise.all(some.map((p) => p.cleaned)); }
  }
}
const all = await Promise.all(Array.from({ length: mode === 'unref' ? 3 : 20 }, (_, i) => start(i)));
console.log(JSON.stringify(all.map((p) => p.pid)));
if (mode === 'exit') setTimeout(() => process.exit(7), 20);
if (mode === 'throw') setTimeout(() => { throw new Error('on purpose'); }, 20);
if (mode === 'abort') setTimeout(() => process.abort(), 20);
if (mode === 'unref') for (const p of all) p.unref();
`;

describe.skipIf(!userns.ok)(userns.title('when Node ends'), () => {
  let script: string;
  beforeAll(async () => {
    script = await bundle(SCRIPT);
  });

  it.each([
    ['is killed', 'SIGKILL'],
    ['is terminated', 'SIGTERM'],
    ['is stopped and killed', 'SIGSTOP'],
  ] as const)('%s, 20 containers are dead and cleaned up within a second', async (_, signal) => {
    const state = makeTempDir('state');
    const node = start(script, [state, 'wait']);
    const pids = JSON.parse(await node.line()) as number[];
    const check = leaks();
    check.watch(node.pid);
    expect([pids.filter(runs).length, readdirSync(state).length]).toEqual([20, 21]);
    node.process.kill(signal);
    if (signal === 'SIGSTOP') {
      await sleep(200);
      expect(pids.filter(runs).length).toBe(20);
      node.process.kill('SIGKILL');
    }
    await until(() => [...pids.filter(runs), ...readdirSync(state)], 1000);
    await node.ended;
    await check.assertClean();
  });

  it.each([
    ['exit', { code: 7 }],
    ['throw', { code: 1 }],
    ['abort', { signal: 'SIGABRT' }],
    ['unref', { code: 0 }],
  ] as const)('by itself (%s), nothing is left', async (mode, how) => {
    const state = makeTempDir('state');
    const node = start(script, [state, mode]);
    const pids = JSON.parse(await node.line()) as number[];
    const check = leaks();
    check.watch(node.pid);
    expect(await node.ended).toMatchObject(how);
    await until(() => [...pids.filter(runs), ...readdirSync(state)], 1000);
    await check.assertClean();
  });

  it('a running process keeps it from ending', async () => {
    const state = makeTempDir('state');
    const node = start(script, [state, 'wait']);
    await node.line();
    await sleep(300);
    expect(runs(node.pid)).toBe(true);
    node.process.kill('SIGKILL');
    await node.ended;
    await until(() => readdirSync(state));
  });

  it('at any moment of many launches, nothing is left', async () => {
    const state = makeTempDir('state');
    for (let round = 0; round < rounds(12); round++) {
      const node = start(script, [state, 'launching']);
      await node.line();
      await sleep(Math.random() * 80 * slowness);
      const check = leaks();
      check.watch(node.pid);
      node.process.kill('SIGKILL');
      await node.ended;
      await until(() => readdirSync(state), 2000);
      await check.assertClean();
    }
  });

  it('together with the monitor, its processes die all the same', async () => {
    const state = makeTempDir('state');
    const node = start(script, [state, 'wait']);
    const pids = JSON.parse(await node.line()) as number[];
    const monitor = Number(/^PPid:\s*(\d+)/m.exec(readFileSync(`/proc/${pids[0]}/status`, 'utf8'))?.[1]);
    node.process.kill('SIGSTOP');
    process.kill(monitor, 'SIGKILL');
    node.process.kill('SIGKILL');
    await node.ended;
    await until(() => pids.filter(runs), 1000);
    // What only the monitor could have removed stays for the next start's collector: nothing else was promised.
    expect(readdirSync(state).length).toBeLessThanOrEqual(21);
  });
});

describe('the package loaded twice', () => {
  it('as ESM and as CommonJS in one process: two monitors, and both work', async () => {
    const common = `
      export { spawn, closeLauncher, StartError, InvalidArgumentError, Fd } from 'ns';
    `;
    const [esm, cjs] = await Promise.all([bundle(common, 'esm'), bundle(common, 'cjs')]);
    const main = path.join(makeTempDir('main'), 'main.mjs');
    writeFileSync(
      main,
      `import * as a from ${JSON.stringify(esm)};
       import { createRequire } from 'node:module';
       const b = createRequire(import.meta.url)(${JSON.stringify(cjs)});
       const exits = [];
       for (const ns of [a, b, a, b]) exits.push((await (await ns.spawn({ args: ['sh', '-c', 'exit 3'], stdio: ['ignore', 'ignore', 'ignore'] })).exited).exitCode);
       const error = await b.spawn({ args: ['/nowhere'] }).catch((e) => e);
       const bad = await a.spawn({ args: [] }).catch((e) => e);
       console.log(JSON.stringify([exits, error instanceof a.StartError, bad instanceof b.InvalidArgumentError]));
       await a.closeLauncher();
       exits.push((await (await b.spawn({ args: ['true'], stdio: ['ignore', 'ignore', 'ignore'] })).exited).exitCode);
       console.log(exits.at(-1));`,
    );
    const node = start(main);
    expect(await node.line()).toBe('[[3,3,3,3],true,true]');
    expect(await node.line()).toBe('0');
    expect(await node.ended).toEqual({ code: 0, signal: null, stderr: '' });
  });
});

describe.skipIf(!root.ok)(root.title('a mount table'), () => {
  it('of the host is not changed by a monitor that dies in the middle', async () => {
    const before = readFileSync('/proc/self/mountinfo', 'utf8');
    mkdirSync(path.join(makeTempDir('x'), 'y'));
    const p = await spawn({ ...sleeper(path.join(makeTempDir('state'), 'a')), mounts: [{ type: 'tmpfs', target: '/mnt' }] });
    process.kill(Launcher.current.pid, 'SIGKILL');
    await p.cleaned;
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(before);
  });
});
