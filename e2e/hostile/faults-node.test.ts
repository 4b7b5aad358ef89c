// Faults of the launcher's own process: however and whenever Node ends or is held up, nothing of its containers is left.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { descendants, host, leakCheck, makeTempDir, need, processes } from '@ctr/internal/testing';
import { type RunOptions, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { type Child, startChild } from '../fixtures/child.js';
import { must, run } from '../fixtures/command.js';
import { base, cleanly, inside, patience, rootfs, rounds, SOON } from './fixtures/hostile.js';

const children = fileURLToPath(new URL('./children/', import.meta.url));
host.define('memfd-noexec', { test: () => existsSync('/proc/sys/vm/memfd_noexec'), cure: 'run on Linux 6.3 or newer' });
const asRoot = need('root');
const noexec = need('memfd-noexec');
const vm = need('vm');
const dying = '../hostile/children/dying.mjs';
const alive = (pids: number[]): number[] => {
  const running = new Set(processes().flatMap((p) => (p.state === 'Z' ? [] : [p.pid])));
  return pids.filter((pid) => running.has(pid));
};
const environment = () => ({ CTR_RUN: makeTempDir('run'), CTR_ROOT: makeTempDir('store') });

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok)(base.title('Node ends'), () => {
  it.each([
    'heap out of memory',
    'uncaught exception in a callback',
    'unhandled rejection',
    'exit in a callback',
    'process.reallyExit',
    'SIGSEGV',
    'SIGABRT',
  ])(
    'F-07 by %s: nothing is left, the layers on disk neither',
    async (way) => {
      const check = leakCheck();
      const env = environment();
      const prefix = way.startsWith('heap') ? { NODE_OPTIONS: '--max-old-space-size=60' } : {};
      const child = startChild(dying, [await rootfs(), way], { env: { ...env, ...prefix } });
      const pids = (await child.ready) as number[];
      expect(alive(pids)).toHaveLength(3);
      check.watch(child.node.pid ?? 0);
      child.node.stdin.end('now\n');
      await child.gone;
      await check.assertClean({ withinMs: SOON });
      expect(alive(pids)).toEqual([]);
      await expect.poll(() => leftIn(env), { timeout: SOON }).toEqual([]);
    },
    60_000,
  );

  it(
    'F-01 F-02 by SIGKILL at any moment of twenty starts',
    async () => {
      const times = rounds(6);
      for (let i = 0; i < times; i++) {
        const check = leakCheck();
        const env = environment();
        const child = startChild(dying, [await rootfs(), 'in the middle of starts', String((i * 40) / times)], { env });
        const pids = (await child.ready) as number[];
        check.watch(child.node.pid ?? 0);
        child.node.stdin.end('now\n');
        await child.gone;
        await check.assertClean({ withinMs: SOON });
        expect(alive(pids)).toEqual([]);
        await expect.poll(() => leftIn(env), { timeout: SOON }).toEqual([]);
      }
    },
    patience(120_000),
  );

  it('F-06 SIGSTOP and SIGCONT of Node kill nobody; SIGKILL while it is stopped does', async () => {
    const check = leakCheck();
    const child = startChild('many.mjs', [await rootfs(), '3'], { env: environment() });
    const pids = (await child.ready) as number[];
    child.node.kill('SIGSTOP');
    await sleep(500);
    expect(alive(pids)).toHaveLength(3);
    child.node.kill('SIGCONT');
    await sleep(100);
    expect(alive(pids)).toHaveLength(3);
    child.node.kill('SIGSTOP');
    check.watch(child.node.pid ?? 0);
    child.node.kill('SIGKILL');
    await child.gone;
    await check.assertClean({ withinMs: SOON });
    expect(alive(pids)).toEqual([]);
  }, 60_000);

  it('F-06 a stopped monitor delays the clean-up and loses nothing', async () => {
    const check = leakCheck();
    const child = startChild('many.mjs', [await rootfs(), '3'], { env: environment() });
    const pids = (await child.ready) as number[];
    const monitor = monitorOf(child);
    process.kill(monitor, 'SIGSTOP');
    await expect.poll(() => stateOf(monitor), { timeout: SOON }).toBe('T');
    check.watch(child.node.pid ?? 0);
    child.node.kill('SIGKILL');
    await child.gone;
    await sleep(200);
    expect(alive(pids)).toHaveLength(3);
    process.kill(monitor, 'SIGCONT');
    await check.assertClean({ withinMs: SOON });
  }, 60_000);

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const)(
    'F-25 by %s to its whole group, as from a terminal: the monitor is not in it',
    async (signal) => {
      const check = leakCheck();
      const child = startChild('many.mjs', [await rootfs(), '3'], { env: environment(), prefix: ['setsid'] });
      const pids = (await child.ready) as number[];
      // setsid(1) became Node: its group is its own, and this test is not in it.
      const node = child.node.pid as number;
      expect(readFileSync(`/proc/${node}/stat`, 'utf8').split(') ')[1]?.split(' ')[2]).toBe(String(node));
      check.watch(node);
      process.kill(-node, signal);
      await child.gone;
      await check.assertClean({ withinMs: SOON });
      expect(alive(pids)).toEqual([]);
    },
    60_000,
  );

  it('F-22 together with its monitor: the next start removes the layers, and begins with an empty one', async () => {
    const env = environment();
    const check = leakCheck();
    const child = startChild(dying, [await rootfs(), 'SIGABRT'], { env });
    const first = (await child.ready) as number[];
    const monitor = monitorOf(child);
    const node = child.node.pid as number;
    check.watch(node);
    child.node.kill('SIGSTOP');
    // Node must not see its monitor end, else it removes the layers itself.
    await expect.poll(() => stateOf(node), { timeout: SOON }).toBe('T');
    process.kill(monitor, 'SIGKILL');
    child.node.kill('SIGKILL');
    await child.gone;
    const old = leftIn(env);
    expect(old.length).toBeGreaterThan(0);
    // A layer in use is not removed: its last users must be gone before the next start looks.
    await expect.poll(() => alive([monitor, ...first]), { timeout: SOON }).toEqual([]);
    const again = startChild(dying, [await rootfs(), 'SIGABRT'], { env });
    const pids = (await again.ready) as number[];
    check.watch(again.node.pid ?? 0);
    // It cleans up beside its own work, and what ends too early leaves that to the next.
    await expect.poll(() => leftIn(env).filter((file) => old.includes(file)), { timeout: SOON }).toEqual([]);
    again.node.stdin.end('now\n');
    await again.gone;
    await expect.poll(() => leftIn(env), { timeout: SOON }).toEqual([]);
    expect(alive(pids)).toEqual([]);
    await check.assertClean({ withinMs: SOON });
  }, 60_000);
});

/** The pid of a child's monitor; throws when it has none, since a signal to 0 would be one to ourselves. */
function monitorOf(child: Child): number {
  const monitor = descendants(child.node.pid ?? -1).find((p) => p.ppid === child.node.pid && /^ctr/.test(p.comm));
  if (monitor === undefined) throw new Error('this Node has no monitor');
  return monitor.pid;
}

/** R, S, T for stopped …; a signal is delivered some time after kill(2) has returned. */
const stateOf = (pid: number): string | undefined => processes().find((p) => p.pid === pid)?.state;

/** The records and layers of containers. */
function leftIn(env: { CTR_RUN: string; CTR_ROOT: string }): string[] {
  const dirs = [env.CTR_RUN, path.join(env.CTR_ROOT, 'containers')];
  return dirs.flatMap((d) => (existsSync(d) ? readdirSync(d).map((n) => path.join(d, n)) : []));
}

describe('outliving Node', () => {
  it.each(['detach', 'detached'])('F-26 is not to be had yet, and %s says so before anything is touched', async (word) => {
    const error = await runContainer({ rootfs: '/nowhere', command: ['true'], [word]: true } as RunOptions)
      .result()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ name: 'InvalidArgumentError', message: expect.stringMatching(/a container ends with this process/) });
  });
});

describe.skipIf(!base.ok)(base.title('without descriptors'), () => {
  it('F-15 each number that is left gives a container or an error that says EMFILE, and nothing leaks', async () => {
    const r = await run('prlimit', ['--nofile=120', process.execPath, `${children}few-descriptors.mjs`, await rootfs(), '24'], {
      env: { ...process.env, NODE_OPTIONS: '', ...environment() },
    });
    expect(r.stderr).toBe('');
    const { before, after, outcomes } = JSON.parse(r.stdout) as { before: number; after: number; outcomes: string[] };
    expect(outcomes.filter((o) => !/^(exit 0|[A-Z]\w+ \w+ EMFILE)$/.test(o))).toEqual([]);
    expect([outcomes[0], outcomes.at(-1)]).toEqual([expect.stringContaining('EMFILE'), 'exit 0']);
    expect(after).toBeLessThanOrEqual(before);
  }, 60_000);
});

describe.skipIf(!base.ok || !asRoot.ok)(asRoot.title(base.title('hosts with quirks')), () => {
  /** Runs a container from a Node in a mount namespace of its own that was changed by `script`. */
  async function onHost(script: string, o: string[] = []): Promise<string> {
    const code = `
      const { runContainer } = await import('@ctr/runtime');
      const r = await runContainer({ rootfs: ${JSON.stringify(await rootfs())}, command: ['/bin/echo', 'works'] }).result().catch((e) => ({ stdout: e.name + ' ' + (e.hint ?? 'no hint') + ' | ' + e.message }));
      process.stdout.write(r.stdout);`;
    const r = await run(
      'unshare',
      ['--mount', ...o, 'sh', '-c', `${script}\nexec "$0" --input-type=module -e "$1"`, process.execPath, code],
      {
        cwd: children,
        env: { ...process.env, NODE_OPTIONS: '', ...environment() },
      },
    );
    return r.stdout + r.stderr;
  }
  const plain = ['works\n'];

  it('F-18 a /tmp and a /run without programs, and /proc without other users’ processes', async () => {
    expect(await cleanly(() => onHost('mount -o remount,bind,noexec /dev/shm; mount -t proc -o hidepid=2 proc /proc'))).toBe(plain[0]);
  });

  it.skipIf(!noexec.ok)(noexec.title('F-18 a host whose sysctl forbids programs in memory says so, with the cure'), async () => {
    const text = await onHost('echo 2 > /proc/sys/vm/memfd_noexec', ['--pid', '--fork', '--mount-proc']);
    expect(text).toMatch(/^\w+Error .*vm\.memfd_noexec=2 forbids/);
    expect(await onHost('echo 1 > /proc/sys/vm/memfd_noexec', ['--pid', '--fork', '--mount-proc'])).toBe(plain[0]);
  });

  it('F-18 no /sys, or control groups that are read-only: it works, or says what is missing', async () => {
    for (const script of [
      'umount -R -l /sys',
      'mount -o remount,bind,ro /sys/fs/cgroup; for d in /sys/fs/cgroup/*; do mount -o remount,bind,ro $d 2>/dev/null; done; true',
    ]) {
      const text = await onHost(script);
      expect(text, script).toMatch(/^works\n$|^\w+Error (?!no hint)/);
    }
  });

  it('F-18 a shared mount table stays as it was', async () => {
    expect(await onHost('mount --make-rshared /; before=$(wc -l < /proc/self/mountinfo)')).toBe(plain[0]);
  });
});

describe.skipIf(!base.ok || !vm.ok)(vm.title(base.title('clocks that jump')), () => {
  it.each(['+10 years', '-10 years'])('F-19 by %s: limits of time, ends and clean-up do not notice', async (jump) => {
    const real = Date.now();
    const begun = performance.now();
    try {
      await cleanly(async () => {
        const box = inside('sleep 60', { timeout: 1500 });
        await sleep(300);
        await must('date', ['-s', jump]);
        const r = await box;
        expect([r.reason, r.durationMs > 1000, r.durationMs < 10_000]).toEqual(['timeout', true, true]);
        expect((await runContainer({ rootfs: await rootfs(), command: ['/bin/true'] }).result()).exitCode).toBe(0);
      });
    } finally {
      await must('date', ['-s', `@${Math.round((real + performance.now() - begun) / 1000)}`]);
    }
  });
});
