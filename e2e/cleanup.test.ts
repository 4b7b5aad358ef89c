// The promise: nothing is left behind. After 1,000 containers, after kill -9 of Node in the middle of 50, after aborts at any moment,
// after failed starts: no process, mount, control group, descriptor, link or directory, within a second.
import './fixtures/store.js';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, host, leakCheck, makeTempDir, need, processes, rounds } from '@ctr/internal/testing';
import { chooseUpperLimit } from '@ctr/overlayfs';
import { runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot } from './fixtures/busybox-root.js';
import { type Child, startChild } from './fixtures/child.js';

const n = need('linux', 'userns', 'overlay-in-userns', 'busybox', 'static-cc');
const WITHIN = { withinMs: 1000 };

const limit = process.platform === 'linux' ? await chooseUpperLimit(tmpdir()) : undefined;
host.define('sized-layer-on-a-device', { test: () => limit?.by === 'loop', cure: 'run as root with loop devices and mkfs.ext4' });
const sized = need('sized-layer-on-a-device');

/** Of a loop device that is bound; empty for all others. */
function backingFile(device: string): string {
  const file = `/sys/block/${device}/loop/backing_file`;
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
}

let rootfs = '';
const start = (...command: string[]) => runContainer({ rootfs, command });
/** A dead orphan waits as a zombie for the system's init: it is dead all the same. */
const alive = (pids: number[]): number[] => {
  const running = new Set(processes().flatMap((p) => (p.state === 'Z' ? [] : [p.pid])));
  return pids.filter((pid) => running.has(pid));
};

beforeAll(async () => {
  if (!n.ok) return;
  rootfs = await busyboxRoot();
  // The monitor and what else is made once stay for the life of Node.
  await start('/bin/true').result();
});

describe.skipIf(!n.ok)(n.title('nothing is left'), () => {
  it('after 1,000 containers, eight at a time', async () => {
    const check = leakCheck();
    let next = 0;
    // All lanes end before anything is judged: what a failed test leaves running would fail the next one too.
    const lane = async (): Promise<void> => {
      while (next++ < rounds(1000)) expect((await start('/inside/true').result()).exitCode).toBe(0);
    };
    const lanes = await Promise.allSettled(Array.from({ length: 8 }, lane));
    expect(lanes.filter((l) => l.status === 'rejected')).toEqual([]);
    await check.assertClean(WITHIN);
  }, 300_000);

  it('after 50 that run at once are disposed of', async () => {
    const check = leakCheck();
    const starts = await Promise.allSettled(Array.from({ length: 50 }, () => start('/bin/sleep', '1000').then((box) => box)));
    const all = starts.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
    expect(starts.filter((s) => s.status === 'rejected')).toEqual([]);
    expect(alive(all.map((c) => c.pid))).toHaveLength(50);
    await Promise.all(all.map((c) => c[Symbol.asyncDispose]()));
    expect(alive(all.map((c) => c.pid))).toEqual([]);
    await check.assertClean(WITHIN);
  });

  it('after aborts at random moments of the start and the run', async () => {
    const check = leakCheck();
    for (let i = 0; i < rounds(100); i++) {
      const abort = new AbortController();
      const run = runContainer({ rootfs, command: ['/bin/sleep', '1000'], signal: abort.signal }).result();
      setTimeout(() => abort.abort(), Math.random() * 15);
      const outcome = await run.then(
        (r) => r.reason,
        (e: Error) => e.name,
      );
      expect(['aborted', 'AbortError']).toContain(outcome);
    }
    await check.assertClean(WITHIN);
  }, 120_000);

  it('after starts that fail', async () => {
    const check = leakCheck();
    for (let i = 0; i < 30; i++) await expect(start('/bin/not-there').result()).rejects.toThrow();
    await check.assertClean(WITHIN);
  });

  it('after a program that leaves children, and children of children, behind', async () => {
    const check = leakCheck();
    const r = await start('/bin/sh', '-c', 'for i in 1 2 3 4 5; do (setsid sleep 1000 & sleep 1000) & done; exit 4').result();
    expect(r.exitCode).toBe(4);
    await check.assertClean(WITHIN);
  });

  it('of exec, also when the container ends before it', async () => {
    const check = leakCheck();
    const box = await start('/bin/sleep', '1000');
    // Heard at once: one that comes too late fails while the container is being disposed of.
    const running = Promise.allSettled([1, 2, 3].map(() => box.exec(['/bin/sleep', '1000']).result()));
    await sleep(50);
    await box[Symbol.asyncDispose]();
    for (const r of await running) if (r.status === 'fulfilled') expect(r.value.signal).toBe('SIGKILL');
    await check.assertClean(WITHIN);
  });
});

describe.skipIf(!n.ok)(n.title('nothing is left of a Node that dies'), () => {
  it('by kill -9 in the middle of 50 running containers', async () => {
    const check = leakCheck();
    const child = startChild('many.mjs', [rootfs, '50']);
    const pids = (await child.ready) as number[];
    expect(alive(pids)).toHaveLength(50);
    check.watch(child.node.pid ?? 0);
    child.node.kill('SIGKILL');
    await check.assertClean(WITHIN);
    expect(alive(pids)).toEqual([]);
  }, 60_000);

  it('by kill -9 while processes wait for exec in its containers', async () => {
    const check = leakCheck();
    const child = startChild('slots.mjs', [rootfs, '5']);
    const pids = (await child.ready) as number[];
    expect(alive(pids)).toHaveLength(15);
    check.watch(child.node.pid ?? 0);
    child.node.kill('SIGKILL');
    await check.assertClean(WITHIN);
    expect(alive(pids)).toEqual([]);
  }, 60_000);

  it('by kill -9 at random moments while it starts and ends containers', async () => {
    for (let round = 0; round < 10; round++) {
      const check = leakCheck();
      const child = startChild('many.mjs', [rootfs, '3', '--loop']);
      await child.ready;
      await sleep(Math.random() * 100);
      check.watch(child.node.pid ?? 0);
      child.node.kill('SIGKILL');
      await child.gone;
      await check.assertClean(WITHIN);
    }
  }, 120_000);

  it.skipIf(!sized.ok)(
    sized.title('by kill -9 while a layer on disk with a size is written to'),
    async () => {
      const check = leakCheck();
      const root = makeTempDir('sized');
      const child = startChild('sized.mjs', [rootfs], { env: { CTR_ROOT: root } });
      const { files } = (await child.ready) as { files: string[] };
      expect(files).toHaveLength(1);
      check.watch(child.node.pid ?? 0);
      child.node.kill('SIGKILL');
      await child.gone;
      await check.assertClean(WITHIN);
      const bound = (): string[] => readdirSync('/sys/block').filter((name) => backingFile(name).startsWith(root));
      await expect.poll(bound, { timeout: 10_000 }).toEqual([]);
      await expect.poll(() => readdirSync(path.join(root, 'containers')), { timeout: 10_000 }).toEqual([]);
    },
    60_000,
  );

  it.each(['exit', 'throw', 'abort', 'dispose'])(
    'by %s',
    async (way) => {
      const check = leakCheck();
      const child = startChild('ending.mjs', [rootfs, way]);
      const pids = (await child.ready) as number[];
      check.watch(child.node.pid ?? 0);
      child.node.stdin.end('now\n');
      await child.gone;
      await check.assertClean(WITHIN);
      expect(alive(pids)).toEqual([]);
    },
    60_000,
  );

  it.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)(
    'by %s',
    async (signal) => {
      const check = leakCheck();
      const child = startChild('many.mjs', [rootfs, '3']);
      const pids = (await child.ready) as number[];
      check.watch(child.node.pid ?? 0);
      child.node.kill(signal);
      expect((await child.gone).signal).toBe(signal);
      await check.assertClean(WITHIN);
      expect(alive(pids)).toEqual([]);
    },
    60_000,
  );

  /** Kills the monitor; a moment later, when the kernel has killed the containers, they are dead. */
  async function killMonitor({ node, ready }: Child): Promise<void> {
    const pids = (await ready) as number[];
    const monitor = descendants(node.pid ?? 0).find((p) => !pids.includes(p.pid) && /^ctr/.test(p.comm) && p.ppid === node.pid);
    expect(monitor).toBeDefined();
    process.kill(monitor?.pid ?? 0, 'SIGKILL');
    const end = performance.now() + 1000;
    while (alive(pids).length > 0 && performance.now() < end) await sleep(10);
    expect(alive(pids)).toEqual([]);
  }

  it('or whose monitor is killed: the containers die, and a new monitor cleans up', async () => {
    const check = leakCheck();
    const run = makeTempDir('run');
    const child = startChild('many.mjs', [rootfs, '3'], { env: { CTR_RUN: run } });
    await killMonitor(child);
    // Node has to hear of it: killed before that, it would leave all to the next start.
    const end = performance.now() + 5000;
    while (readdirSync(run).length > 0 && performance.now() < end) await sleep(10);
    expect(readdirSync(run)).toEqual([]);
    check.watch(child.node.pid ?? 0);
    child.node.kill('SIGTERM');
    await child.gone;
    await check.assertClean(WITHIN);
  }, 60_000);

  it('or that is killed together with its monitor: the next start of the same user cleans up', async () => {
    const check = leakCheck();
    const run = makeTempDir('run');
    const records = () => readdirSync(run);
    const startOne = () => startChild('many.mjs', [rootfs, '3'], { env: { CTR_RUN: run } });
    const first = startOne();
    await first.ready;
    // Stopped, so that it hears nothing of its monitor's end.
    first.node.kill('SIGSTOP');
    await killMonitor(first);
    first.node.kill('SIGKILL');
    await first.gone;
    const left = records();
    expect(left).toHaveLength(1);

    const next = startOne();
    await next.ready;
    const end = performance.now() + 5000;
    while (records().some((r) => left.includes(r)) && performance.now() < end) await sleep(10);
    expect(records()).toHaveLength(1);
    check.watch(next.node.pid ?? 0);
    next.node.kill('SIGTERM');
    await next.gone;
    await check.assertClean(WITHIN);
    expect(records()).toEqual([]);
  }, 60_000);
});
