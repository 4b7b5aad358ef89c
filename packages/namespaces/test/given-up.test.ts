// Starts that are given up, also when they hang, and orders that do not wait behind them.
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { named, type Step } from '@ctr/internal/steps';
import { makeTempDir, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { hold, type SpawnOptions, spawn } from '../src/index.js';
import { ENV, leaks, run, shell, WAYS } from './run.js';

const userns = need('userns');

describe.skipIf(!userns.ok)(userns.title('a start that is given up'), () => {
  beforeAll(async () => void (await shell('true')));

  describe.each(WAYS)('$way', ({ user }) => {
    /** A setup step that waits for ever: nobody reads this FIFO. */
    const hanging = (signal: AbortSignal, dir = makeTempDir('fifo')): SpawnOptions => {
      const fifo = path.join(dir, 'fifo');
      execFileSync('mkfifo', [fifo]);
      const wait: Step = { call: 'openat', args: [-100, fifo, named(1, 'O_WRONLY')], into: 'fifo', doing: 'wait for a reader' };
      return {
        args: ['true'],
        env: ENV,
        namespaces: { user, pid: 'new' },
        stdio: ['pipe', 'pipe', 'pipe'],
        cgroup: { prepare: [], setup: [wait], collect: [], cleanup: [] },
        signal,
      };
    };

    it('rejects with AbortError, and nothing is left of it', async () => {
      const check = leaks();
      const abort = new AbortController();
      const started = spawn(hanging(abort.signal));
      started.catch(() => {});
      await sleep(50);
      abort.abort(new Error('enough'));
      await expect(started).rejects.toMatchObject({ name: 'AbortError', code: 'ABORT_ERR', cause: { message: 'enough' } });
      await check.assertClean();
    });

    it('forty that hang hold up neither the end of one another nor a release', async () => {
      const held = await hold({ doing: 'test', prepare: [], cleanup: [] });
      const check = leaks();
      const aborts = Array.from({ length: 40 }, () => new AbortController());
      const dirs = aborts.map(() => makeTempDir('fifo'));
      const starts = aborts.map(({ signal }, i) => spawn(hanging(signal, dirs[i])));
      for (const s of starts) s.catch(() => {});
      await sleep(200);
      await held.release();
      // From the last one on: most of these plans wait for a place and have not been read.
      for (const a of aborts.toReversed()) a.abort();
      for (const s of starts) await expect(s).rejects.toMatchObject({ name: 'AbortError' });
      expect((await run({ args: ['true'] })).exitCode).toBe(0);
      await check.assertClean();
    });

    it('one among others: the others start', async () => {
      const abort = new AbortController();
      const lost = spawn(hanging(abort.signal));
      lost.catch(() => {});
      expect((await run({ args: ['sh', '-c', 'exit 7'], namespaces: { user, pid: 'new' } })).exitCode).toBe(7);
      abort.abort();
      await expect(lost).rejects.toMatchObject({ name: 'AbortError' });
    });

    it('at any moment: started or aborted, never something in between', async () => {
      const check = leaks();
      for (let i = 0; i < 60; i++) {
        const abort = new AbortController();
        const options: SpawnOptions = {
          args: ['sleep', '1000'],
          env: ENV,
          namespaces: { user, pid: 'new', mount: 'new' },
          signal: abort.signal,
        };
        const timer = setTimeout(() => abort.abort(), i / 12);
        const started = await spawn(options).catch((e: Error) => e);
        clearTimeout(timer);
        if (started instanceof Error) expect(started.name).toBe('AbortError');
        else await started[Symbol.asyncDispose]();
      }
      await check.assertClean();
    });
  });

  it('before it began is not sent, and its descriptors are closed', async () => {
    const check = leaks();
    await expect(spawn({ args: ['true'], signal: AbortSignal.abort() })).rejects.toMatchObject({ name: 'AbortError' });
    await check.assertClean();
  });

  it('does nothing to a program that runs', async () => {
    const abort = new AbortController();
    const p = await spawn({ args: ['cat'], env: ENV, stdio: ['pipe', 'pipe', 'pipe'], signal: abort.signal });
    abort.abort();
    p.stdin?.end();
    expect((await p.exited).exitCode).toBe(0);
    await p.cleaned;
  });
});
