// Worker threads: each has a monitor of its own, which ends with it, however the thread ends.
import { readdirSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { makeTempDir } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { closeLauncher } from '../src/index.js';
import { bundle, runs, start, until } from './node-child.js';
import { ENV, leaks, shell } from './run.js';

const SCRIPT = `
import { hold, spawn, enter, Fd } from 'ns';
import { parentPort, workerData } from 'node:worker_threads';
const { state, mode } = workerData;
process.on('warning', (w) => parentPort.postMessage('warning: ' + w.message));
const env = { PATH: '${ENV.PATH}' };
const stateSteps = (dir) => ({
  prepare: [{ call: 'mkdirat', args: [-100, dir, 0o700] }],
  cleanup: [{ call: 'remove_tree', args: [dir] }],
});
const run = (i, args = ['sleep', '600']) => spawn({ args, env, stdio: ['pipe', 'pipe', 'pipe'], ...stateSteps(state + '/' + i) });
await hold({ doing: 'hold', ...stateSteps(state + '/held') });
const all = await Promise.all([0, 1, 2, 3].map((i) => run(i)));
all[0].stdout.resume();
const short = await run('short', ['true']);
await short.cleaned;
short.closeStreams();
await (await enter(all[1], { args: ['true'], env, namespaces: [] })).exited;
parentPort.postMessage(all.map((p) => p.pid));
if (mode === 'exit') setTimeout(() => process.exit(0), 10);
if (mode === 'throw') setTimeout(() => { throw new Error('on purpose'); }, 10);
if (mode === 'unref') for (const p of all) { p.unref(); p.closeStreams(); }
if (mode === 'busy') for (let i = 10; ; i += 8) await Promise.all(Array.from({ length: 8 }, async (_, n) => (await run(i + n, ['true'])).exited));
`;

describe('a worker thread', () => {
  let script: string;
  beforeAll(async () => {
    script = await bundle(SCRIPT);
    await shell('true');
  });

  const open = (state: string, mode: string) => {
    // Without execArgv: vitest's own would change how modules are found.
    const worker = new Worker(script, { workerData: { state, mode }, execArgv: [] });
    const messages: unknown[] = [];
    let first: (pids: number[]) => void = () => {};
    const pids = new Promise<number[]>((resolve) => {
      first = resolve;
    });
    worker.on('message', (m) => {
      if (Array.isArray(m)) first(m);
      else messages.push(m);
    });
    const ended = new Promise<unknown>((resolve) => {
      worker.once('error', resolve);
      worker.once('exit', resolve);
    });
    return { worker, messages, pids, ended };
  };

  it.each(['terminate', 'exit', 'throw', 'unref'])(
    'that ends (%s) takes its processes along; nothing is left in this process',
    async (mode) => {
      await closeLauncher();
      const state = makeTempDir('state');
      const check = leaks();
      const w = open(state, mode);
      const pids = await w.pids;
      if (mode === 'terminate') expect(pids.filter(runs).length).toBe(4);
      if (mode === 'terminate') await w.worker.terminate();
      const how = await w.ended;
      if (mode === 'throw') expect((how as Error).message).toBe('on purpose');
      await until(() => [...pids.filter(runs), ...readdirSync(state)], 1000);
      // No descriptor, no zombie: terminate() has waited for the monitor.
      await check.assertClean();
      expect(w.messages).toEqual([]);
    },
  );

  it('may be terminated at any moment of many launches', async () => {
    await closeLauncher();
    const state = makeTempDir('state');
    // Node itself leaves the file of a script open when it is terminated while it reads it.
    const check = leaks({ ignore: /script\.mjs|^(control group|temporary|link|mount) |esbuild|child of 1\)$/ });
    for (let round = 0; round < 15; round++) {
      const w = open(state, 'busy');
      if (round % 3 > 0) await w.pids;
      await sleep(Math.random() * 60);
      await w.worker.terminate();
      await w.ended;
      await until(() => readdirSync(state), 2000);
    }
    await check.assertClean({ withinMs: 2000 });
  });

  it('leaves the processes of the main thread alone', async () => {
    const p = await (await import('../src/index.js')).spawn({ args: ['sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    const w = open(makeTempDir('state'), 'terminate');
    await w.pids;
    await w.worker.terminate();
    await sleep(50);
    expect(runs(p.pid)).toBe(true);
    await p[Symbol.asyncDispose]();
  });

  it('closes no descriptor of others when it ends', async () => {
    const mine = readdirSync('/proc/self/fd').flatMap((fd) => {
      try {
        return [[fd, readlinkSync(`/proc/self/fd/${fd}`)]];
      } catch {
        return [];
      }
    });
    const w = open(makeTempDir('state'), 'terminate');
    await w.pids;
    await w.worker.terminate();
    for (const [fd, link] of mine.filter(([, l]) => /^(socket|pipe|\/)/.test(l as string) && !(l as string).startsWith('/proc')))
      expect([fd, readlinkSync(`/proc/self/fd/${fd}`)]).toEqual([fd, link]);
  });
});

describe('a process with workers', () => {
  it('that is killed leaves nothing, whichever thread had started what', async () => {
    const worker = await bundle(SCRIPT);
    const state = makeTempDir('state');
    const main = await bundle(`
      import { Worker } from 'node:worker_threads';
      import { mkdirSync } from 'node:fs';
      import { spawn } from 'ns';
      const [file, state] = process.argv.slice(2);
      const p = await spawn({ args: ['sleep', '600'], stdio: ['ignore', 'ignore', 'ignore'] });
      const pids = [p.pid];
      for (const n of [1, 2, 3]) {
        mkdirSync(state + '/' + n);
        const w = new Worker(file, { workerData: { state: state + '/' + n, mode: 'wait' } });
        pids.push(...(await new Promise((resolve) => w.once('message', resolve))));
      }
      console.log(JSON.stringify(pids));
    `);
    const node = start(main, [worker, state]);
    const pids = JSON.parse(await node.line()) as number[];
    expect(pids.filter(runs).length).toBe(13);
    node.process.kill('SIGKILL');
    await node.ended;
    await until(() => [...pids.filter(runs), ...[1, 2, 3].flatMap((n) => readdirSync(`${state}/${n}`))], 1000);
  });
});
