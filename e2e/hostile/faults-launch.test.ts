// Faults of the launcher's processes: killed, stopped or held up at each step of a start, and torn down under load.
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openCgroup } from '@ctr/cgroups';
import { descendants, leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { monitorPid, type Step, spawn } from '@ctr/namespaces';
import { runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { run } from '../fixtures/command.js';
import { base, cleanly, inside, patience, rootfs, rounds, SOON, WAYS } from './fixtures/hostile.js';

const freezer = need('root', 'cgroup:freezer');
const asRoot = need('root');
const unprivileged = process.getuid?.() !== 0;
const own = unprivileged ? { user: 'new' as const } : {};

/** A call that never returns, as on a file system whose server is gone. */
const hang: Step = { call: 'pause', args: [], doing: 'wait for ever' };
/** A start whose process stops at one of its own steps. */
const stuck = (steps: Step[]) =>
  spawn({
    args: ['/bin/true'],
    stdio: ['ignore', 'ignore', 'ignore'],
    namespaces: { ...own, pid: 'new', mount: 'new' },
    cgroup: { prepare: [], setup: steps, collect: [], cleanup: [] },
  });
const launching = (): number[] => descendants(monitorPid() ?? 0).flatMap((p) => (p.state === 'Z' ? [] : [p.pid]));

beforeAll(async () => {
  if (!base.ok) return;
  await rootfs();
  // What is made once, by the first layer on disk.
  await inside('true', { writable: 'disk' });
});

describe.skipIf(!base.ok || process.arch !== 'x64')(base.title('a start that goes wrong'), () => {
  it.each(['SIGKILL', 'SIGSEGV', 'SIGTERM'] as const)(
    'F-05 its process is ended by %s: it rejects by name, and leaves nothing',
    async (signal) => {
      await cleanly(async () => {
        const start = stuck([hang]).catch((e: Error) => e);
        await expect.poll(() => launching().length, { timeout: SOON }).toBe(1);
        process.kill(launching()[0] ?? 0, signal === 'SIGSEGV' ? 'SIGSEGV' : signal);
        // A first process has no handlers: all but SIGKILL must come from outside as what cannot be ignored.
        await sleep(50);
        for (const pid of launching()) process.kill(pid, 'SIGKILL');
        expect(await start).toMatchObject({ name: 'StartError' });
      });
    },
  );

  it('F-05 at each of twenty steps', async () => {
    const quiet: Step = { call: 'getppid', args: [], doing: 'count the steps' };
    await cleanly(async () => {
      for (let at = 0; at < 20; at++) {
        const steps = Array.from({ length: 20 }, (_, i) => (i === at ? hang : quiet));
        const start = stuck(steps).catch((e: Error) => e);
        await expect.poll(() => launching().length, { timeout: SOON, interval: 2 }).toBe(1);
        for (const pid of launching()) process.kill(pid, 'SIGKILL');
        expect(await start).toMatchObject({ name: 'StartError' });
        // Told at once, and gone a moment later: the next one must not be taken for it.
        await expect.poll(launching, { timeout: SOON, interval: 2 }).toEqual([]);
      }
    });
  });

  it('F-06 F-31 starts that hang do not keep a running container from being killed', async () => {
    await cleanly(async () => {
      const box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'] });
      // More than the monitor has places for.
      const starts = Array.from({ length: 30 }, () => stuck([hang]).catch((e: Error) => e));
      await expect.poll(() => launching().length, { timeout: SOON }).toBeGreaterThan(20);
      await box[Symbol.asyncDispose]();
      expect((await box.exited).signal).toBe('SIGKILL');
      // Let go one after the other: those that waited come in their turn.
      let settled = 0;
      const all = Promise.all(starts.map((s) => s.finally(() => settled++)));
      while (settled < starts.length) {
        for (const pid of launching()) process.kill(pid, 'SIGKILL');
        await sleep(20);
      }
      for (const e of await all) expect(e).toMatchObject({ name: 'StartError' });
    });
  }, 60_000);
});

describe.skipIf(!base.ok).each(WAYS)(base.title('teardown of $way'), ({ options }) => {
  it.skipIf(!freezer.ok)(
    freezer.title('F-30 a frozen container is killed all the same'),
    async () => {
      await cleanly(async () => {
        const box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sh', '-c', 'while :; do :; done'], ...options });
        await openCgroup(box.inspect().cgroups).freeze();
        const gone = box[Symbol.asyncDispose]();
        const late = Symbol('still there');
        expect(await Promise.race([gone.then(() => 'gone'), sleep(SOON, late)])).toBe('gone');
      });
    },
    60_000,
  );

  it.skipIf(!asRoot.ok)(asRoot.title('F-30 with control groups below its own, made by somebody else'), async () => {
    await cleanly(async () => {
      const box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
      const dirs = [...new Set(Object.values(box.inspect().cgroups))].map((d) => path.join(d as string, 'nested'));
      for (const d of dirs) mkdirSync(d);
      await box[Symbol.asyncDispose]();
      expect(dirs.filter((d) => existsSync(d))).toEqual([]);
    });
  });

  it('F-30 of many processes that end slowly, of a leader that is a zombie with living threads', async () => {
    await cleanly(async () => {
      const box = await runContainer({
        rootfs: await rootfs(),
        command: ['/bin/sh', '-c', 'i=0; while [ $i -lt 400 ]; do sleep 600 & i=$((i+1)); done; echo ready; wait'],
        ...options,
      });
      await new Promise((resolve) => box.stdout?.once('data', resolve));
      await box[Symbol.asyncDispose]();
    });
  }, 60_000);

  it('F-21 whose namespaces somebody else holds open: nothing of ours is kept', async () => {
    const held: number[] = [];
    const check = leakCheck({ ignore: /^descriptor \d+ -> (net|mnt|ipc|uts|pid):/ });
    const box = await runContainer({
      rootfs: await rootfs(),
      command: ['/bin/sleep', '600'],
      ...(options.userns ? {} : { writable: 'disk' as const }),
      ...options,
    });
    try {
      for (const ns of ['net', 'mnt', 'ipc', 'uts', 'pid']) held.push(openSync(`/proc/${box.pid}/ns/${ns}`, 'r'));
      await box[Symbol.asyncDispose]();
      await check.assertClean({ withinMs: SOON });
    } finally {
      for (const fd of held) closeSync(fd);
    }
    await check.assertClean({ withinMs: SOON });
  });

  it(
    'F-32 in a row and at once: descriptors, threads, handles and keys are as before',
    async () => {
      const state = () => ({
        threads: readdirSync('/proc/self/task').length,
        monitor: unprivileged ? 0 : readdirSync(`/proc/${monitorPid()}/fd`).length,
        handles: process.getActiveResourcesInfo().filter((r) => !/Timeout|Immediate/.test(r)).length,
        zombies: descendants(process.pid).filter((p) => p.state === 'Z').length,
        sysv: ['shm', 'sem', 'msg'].map((k) => readFileSync(`/proc/sysvipc/${k}`, 'utf8').split('\n').length),
      });
      const one = () => inside('true', options);
      await Promise.all([1, 2, 3, 4].map(one));
      // What four at once had, ranges of ids with their mounts, is given back when nothing has run for half a second.
      await sleep(1500);
      const before = state();
      await cleanly(async () => {
        for (let i = 0; i < rounds(30); i++) await one();
        await Promise.all(Array.from({ length: Math.min(200, rounds(40)) }, one));
      });
      await expect.poll(state, { timeout: SOON }).toEqual(before);
    },
    patience(120_000),
  );

  it('F-09 two containers of one name are two containers', async () => {
    await cleanly(async () => {
      const all = await Promise.all(
        Array.from({ length: 8 }, async () =>
          runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], name: 'same', ...options }).then((c) => c),
        ),
      );
      expect(new Set(all.map((c) => c.id)).size).toBe(8);
      await all[0]?.[Symbol.asyncDispose]();
      expect(all.slice(1).map((c) => c.exitStatus)).toEqual(Array(7).fill(undefined));
      await Promise.all(all.map((c) => c[Symbol.asyncDispose]()));
    });
  });
});

describe.skipIf(!base.ok)(base.title('the package on disk'), () => {
  it('F-39 is taken away while containers run: they run on, and further ones start', async () => {
    const packages = path.resolve(import.meta.dirname, '../../packages');
    const copy = makeTempDir('copy');
    for (const p of ['runtime', 'namespaces', 'cgroups', 'overlayfs', 'image'])
      cpSync(path.join(packages, p), path.join(copy, 'node_modules/@ctr', p), {
        recursive: true,
        dereference: false,
        filter: (f) => !/\/(test|src|node_modules\/\.|build\/Release\/obj)/.test(f),
      });
    writeFileSync(
      path.join(copy, 'main.mjs'),
      `import { rmSync } from 'node:fs';
       import { runContainer } from '@ctr/runtime';
       const start = (...command) => runContainer({ rootfs: process.argv[2], command });
       const box = await start('/bin/sleep', '600');
       rmSync(process.argv[3], { recursive: true });
       const seen = [await box.exec(['/bin/echo', 'beside']).text(), await start('/bin/echo', 'another').text()];
       await box[Symbol.asyncDispose]();
       process.stdout.write(seen.join(''));`,
    );
    const r = await run(process.execPath, [path.join(copy, 'main.mjs'), await rootfs(), path.join(copy, 'node_modules/@ctr')], {
      env: { ...process.env, NODE_OPTIONS: '', CTR_RUN: makeTempDir('run'), CTR_ROOT: makeTempDir('store') },
    });
    expect(r.stdout + r.stderr).toBe('beside\nanother\n');
    rmSync(copy, { recursive: true, force: true });
  }, 60_000);

  it.skipIf(unprivileged)('F-39 is not what runs: the monitor is a sealed copy', () => {
    expect(readlinkSync(`/proc/${monitorPid()}/exe`)).toContain('memfd:');
  });
});
