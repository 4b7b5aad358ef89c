// Any process by its pidfd: signals, the end, and what keeps Node alive.
import { spawn as nodeSpawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { InvalidArgumentError, openProcess, spawn } from '../src/index.js';
import { bundle, start } from './node-child.js';
import { ENV, leaks, shell } from './run.js';

const child = () => nodeSpawn('sleep', ['600'], { stdio: 'ignore' });

describe('openProcess', () => {
  it('signals and waits for a process that is not its own', async () => {
    const c = child();
    using handle = openProcess(c.pid as number);
    expect([handle.ended, handle.kill(0)]).toEqual([false, true]);
    let told = false;
    const waiting = handle.exited.then(() => {
      told = true;
    });
    await sleep(20);
    expect(told).toBe(false);
    expect(handle.kill('SIGUSR1')).toBe(true);
    await waiting;
    expect([handle.ended, handle.kill()]).toEqual([true, false]);
    // Node, whose child it is, learns how: nobody took that away.
    const [code, signal] =
      c.exitCode === null && c.signalCode === null ? ((await once(c, 'exit')) as [number | null, string]) : [c.exitCode, c.signalCode];
    expect([code, signal]).toEqual([null, 'SIGUSR1']);
  });

  it('one that has ended is known at once', async () => {
    const p = await spawn({ args: ['sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    using handle = openProcess(p.pid, p.pidfd);
    p.kill('SIGKILL');
    await p.exited;
    await handle.exited;
    expect(handle.ended).toBe(true);
    expect(() => openProcess(p.pid)).toThrow(/pidfd_open.*ESRCH/);
  });

  it('never reaches another process with the same pid', async () => {
    const c = child();
    using handle = openProcess(c.pid as number);
    c.kill('SIGKILL');
    await once(c, 'exit');
    expect([handle.kill('SIGKILL'), handle.ended]).toEqual([false, true]);
  });

  it('refuses what is no pid and no signal', () => {
    for (const pid of [0, -1, 1.5, Number.NaN]) expect(() => openProcess(pid)).toThrow(InvalidArgumentError);
    using own = openProcess(process.pid);
    expect(() => own.kill('SIGNOPE')).toThrow(InvalidArgumentError);
  });

  it('a hundred at a time, and nothing is left', async () => {
    using first = openProcess(process.pid);
    first.close();
    const check = leaks();
    const children = Array.from({ length: 100 }, child);
    const handles = children.map((c) => openProcess(c.pid as number));
    const ends = Promise.all(handles.map((h) => h.exited));
    for (const h of handles) h.kill('SIGKILL');
    await ends;
    for (const h of handles) h.close();
    await Promise.all(children.map((c) => (c.signalCode === null ? once(c, 'exit') : undefined)));
    await check.assertClean();
  });

  it('closing stops the waiting, and leaves the process alone', async () => {
    const c = child();
    const handle = openProcess(c.pid as number);
    let told = false;
    void handle.exited.then(() => {
      told = true;
    });
    handle.close();
    handle.close();
    expect(await shell(`kill -0 ${c.pid} && echo runs`)).toBe('runs');
    c.kill('SIGKILL');
    await once(c, 'exit');
    await sleep(10);
    expect(told).toBe(false);
  });

  it('waiting keeps Node alive, unless it is told not to', async () => {
    const script = await bundle(`
      import { openProcess } from 'ns';
      import { spawn } from 'node:child_process';
      const c = spawn('sleep', [process.argv[2] === 'ref' ? '0.3' : '600'], { stdio: 'ignore' });
      c.unref();
      const h = openProcess(c.pid);
      h.exited.then(() => console.log('told'));
      if (process.argv[2] === 'unref') h.unref();
      if (process.argv[2] === 'ref') h.unref().ref();
      process.on('exit', () => process.argv[2] === 'unref' && h.kill('SIGKILL'));
    `);
    const [ref, unref] = [start(script, ['ref']), start(script, ['unref'])];
    expect(await ref.line()).toBe('told');
    expect([(await ref.ended).code, (await unref.ended).code]).toEqual([0, 0]);
  });

  it('a worker that ends in the middle of it takes its watch along', async () => {
    const script = await bundle(`
      import { openProcess, spawn } from 'ns';
      import { isMainThread, Worker } from 'node:worker_threads';
      import { fileURLToPath } from 'node:url';
      if (isMainThread) {
        const worker = new Worker(process.argv[1]);
        worker.once('message', () => worker.terminate());
        worker.once('exit', () => console.log('ended'));
      } else {
        const { parentPort } = await import('node:worker_threads');
        const h = openProcess(process.pid);
        h.exited.then(() => {});
        parentPort.postMessage('waits');
      }
    `);
    const node = start(script);
    expect(await node.line()).toBe('ended');
    expect((await node.ended).code).toBe(0);
  });
});

describe('the handle of a process of ours', () => {
  it('unref lets Node end, and the process with it', async () => {
    const script = await bundle(`
      import { spawn } from 'ns';
      const p = await spawn({ args: ['sleep', '600'], env: process.env, stdio: ['ignore', 'ignore', 'ignore'] });
      p.unref().ref().unref();
      console.log(p.pid);
    `);
    const node = start(script);
    const pid = Number(await node.line());
    expect((await node.ended).code).toBe(0);
    for (let i = 0; i < 200; i++) {
      try {
        process.kill(pid, 0);
      } catch {
        return;
      }
      await sleep(10);
    }
    throw new Error(`process ${pid} still runs`);
  });

  it('await using kills it and waits until nothing is left', async () => {
    let pid = 0;
    {
      await using p = await spawn({ args: ['sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
      pid = p.pid;
      expect(p.kill(0)).toBe(true);
    }
    expect(() => process.kill(pid, 0)).toThrow(/ESRCH/);
  });
});
