// Limits are held, and the end says which one was met.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { detectCgroups } from '@ctr/cgroups';
import { host, need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type RunOptions, runContainer, UnsupportedError } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', 'cgroup:memory', 'cgroup:cpu', 'cgroup:pids');
host.define('no-delegation', {
  test: () => !host.can('cgroup:memory'),
  cure: 'run as a user to whom no control group was delegated',
});
const none = need('busybox', 'ordinary-user', 'overlay-in-userns', 'no-delegation');

let rootfs = '';
const run = (script: string, options: RunOptions = {}) => runContainer({ rootfs, command: ['sh', '-c', script], ...options });
beforeAll(() => {
  rootfs = busyboxRoot();
});

describe.skipIf(!n.ok)(n.title('limits'), () => {
  it('of memory end with the reason oom', async () => {
    const result = await run('dd if=/dev/zero of=/dev/null bs=64M count=1', { resources: { memory: '16m' } }).result();
    expect(result).toMatchObject({ ok: false, reason: 'oom', oomKilled: true });
    expect(result.usage.memoryPeakBytes).toBeLessThanOrEqual(16 * 2 ** 20);
  });

  it('of memory count what is written to memory', async () =>
    expect(
      await run('dd if=/dev/zero of=/big bs=1M count=64', { resources: { memory: '16m' }, writable: 'memory' }).result(),
    ).toMatchObject({ oomKilled: true }));

  it('of memory end a further program with the same reason', async () => {
    await using c = await run('sleep 100', { resources: { memory: '32m', oomGroup: false } });
    expect(await c.exec(['dd', 'if=/dev/zero', 'of=/dev/null', 'bs=128M', 'count=1']).result()).toMatchObject({
      reason: 'oom',
      oomKilled: true,
    });
    expect(await c.exec(['true']).result()).toMatchObject({ ok: true });
  });

  it('of CPU time are kept', async () => {
    await using c = await run('while true; do :; done', { resources: { cpus: 0.25 } });
    const begun = performance.now();
    // A machine that stands still for a moment counts that as used, and the kernel takes it back later: until the account is even.
    const kept = async (): Promise<boolean> => {
      const { cpu } = await c.stats();
      return (cpu?.throttledPeriods ?? 0) > 5 && (cpu?.usageMs ?? 0) / (performance.now() - begun) < 0.35;
    };
    await expect.poll(kept, { timeout: 20_000, interval: 100 }).toBe(true);
    c.kill('SIGKILL');
    const { usage, durationMs } = await c.exited;
    // Without a limit it is one.
    expect((usage.cpuMs ?? 0) / durationMs).toBeLessThan(0.6);
    expect(usage.throttledMs).toBeGreaterThan(0);
  });

  it('of processes make fork fail', async () => {
    const result = await run('for i in $(seq 50); do sleep 1 & done; wait', { resources: { pids: 10 } }).result();
    expect(result.stderr).toMatch(/can't fork/);
    expect(result.usage.pidsLimitHits).toBeGreaterThan(0);
  });

  it('are shown while they are used', async () => {
    await using c = await run('sleep 100', { resources: { memory: '64m', pids: 20 } });
    const stats = await c.stats();
    expect([stats.memory?.limitBytes, stats.pids?.limit]).toEqual([64 * 2 ** 20, 20]);
  });
});

/** The directories of all control groups below ours that hold the process. */
async function groupsOf(pid: number): Promise<string[]> {
  const { controllers, unified } = await detectCgroups();
  const roots = new Set([unified, ...Object.values(controllers)].flatMap((c) => c?.parentDirectory ?? []));
  const below = (dir: string): string[] => [
    dir,
    ...unlessGone(() => readdirSync(dir, { withFileTypes: true })).flatMap((e) => (e.isDirectory() ? below(`${dir}/${e.name}`) : [])),
  ];
  return [...roots]
    .flatMap(below)
    .filter((d) => unlessGone(() => readFileSync(`${d}/cgroup.procs`, 'utf8').split('\n')).includes(`${pid}`));
}

/** Those of others come and go. */
function unlessGone<T>(look: () => T[]): T[] {
  try {
    return look();
  } catch (e) {
    if (['ENOENT', 'ENODEV'].includes(String((e as { code?: unknown }).code))) return [];
    throw e;
  }
}

describe.skipIf(!n.ok)(n.title('control groups that were made in that of a container'), () => {
  it('to any depth go with it', async () => {
    await using c = await run('sleep 1000', { resources: { memory: '64m' } });
    const groups = await groupsOf(c.pid);
    expect(groups.length).toBeGreaterThan(0);
    for (const group of groups) for (const nested of ['a/b/c', 'a/d', 'e']) mkdirSync(`${group}/${nested}`, { recursive: true });
    c.kill('SIGKILL');
    await c.exited;
    await c.cleaned;
    for (const group of groups) expect(existsSync(group), group).toBe(false);
  });
});

describe.skipIf(!none.ok)(none.title('limits that this user cannot set'), () => {
  it('are refused, never left out', async () => {
    const error = await run('true', { resources: { memory: '16m' } })
      .result()
      .catch((e: unknown) => e);
    expect(error).toBeInstanceOf(UnsupportedError);
    expect((error as UnsupportedError).hint).toMatch(/delegated/);
  });
});
