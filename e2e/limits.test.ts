// The promise: limits hold, measured from inside and outside; runc, given the same, shows the same.
import './fixtures/store.js';
import { need } from '@ctr/internal/testing';
import { type RunOptions, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot } from './fixtures/busybox-root.js';
import { runc } from './fixtures/runc.js';

const n = need('linux', 'busybox', 'static-cc', 'userns');
const memory = need('cgroup:memory');
const cpu = need('cgroup:cpu');
const pids = need('cgroup:pids');
const oracle = need('root', 'runc');

let rootfs = '';
const inside = (command: string[], resources: NonNullable<RunOptions['resources']>) =>
  runContainer({ rootfs, command: command.map((c, i) => (i ? c : `/inside/${c}`)), resources });

beforeAll(async () => {
  if (n.ok) rootfs = await busyboxRoot();
});

describe.skipIf(!n.ok || !memory.ok)(memory.title(n.title('memory')), () => {
  it('kills what takes more, and the result says why', async () => {
    const r = await inside(['hog', '200'], { memory: '100m' }).result();
    expect([r.exitCode, r.signal, r.reason, r.oomKilled, r.stdout]).toEqual([null, 'SIGKILL', 'oom', true, '']);
    expect(r.usage.memoryPeakBytes).toBeGreaterThan(90 << 20);
    expect(r.usage.memoryPeakBytes).toBeLessThanOrEqual(100 << 20);
  });

  it('leaves alone what takes less', async () => {
    const r = await inside(['hog', '50'], { memory: '100m' }).result();
    expect([r.exitCode, r.reason, r.oomKilled, r.stdout]).toEqual([0, 'exited', false, 'touched 50 MiB\n']);
  });

  it('holds for all processes together, and the first one may live on', async () => {
    const script = '/inside/hog 60 5 & /inside/hog 60 5; wait; echo survived';
    const r = await runContainer({ rootfs, command: ['/bin/sh', '-c', script], resources: { memory: '100m', oomGroup: false } }).result();
    expect([r.exitCode, r.stdout]).toEqual([0, expect.stringMatching(/survived\n$/)]);
    expect(r.oomKilled).toBe(true);
  });

  it('of one container is not the other’s', async () => {
    const [greedy, modest] = await Promise.all([
      inside(['hog', '200'], { memory: '60m' }).result(),
      inside(['hog', '40', '1'], { memory: '60m' }).result(),
    ]);
    expect([greedy.reason, modest.reason]).toEqual(['oom', 'exited']);
  });

  it('is counted for what is written to the memory layer', async () => {
    const r = await runContainer({
      rootfs,
      command: ['/bin/dd', 'if=/dev/zero', 'of=/big', 'bs=1M', 'count=200'],
      writable: 'memory',
      resources: { memory: '64m' },
    }).result();
    expect(r.ok).toBe(false);
  });

  it.skipIf(!oracle.ok)(oracle.title('does so under runc'), async () => {
    expect((await runc({ rootfs, args: ['/inside/hog', '200'], memory: 100 << 20 })).exitCode).toBe(137);
    expect((await runc({ rootfs, args: ['/inside/hog', '50'], memory: 100 << 20 })).stdout).toBe('touched 50 MiB\n');
  });
});

interface Spin {
  wallMs: number;
  cpuMs: number;
}

describe.skipIf(!n.ok || !cpu.ok)(cpu.title(n.title('cpus')), () => {
  it('half a core is held within 10 %', async () => {
    const r = await inside(['spin', '4'], { cpus: 0.5 }).json<Spin>();
    expect(r.cpuMs / r.wallMs).toBeLessThan(0.55);
  });

  it('is no limit when it is not given', async () => {
    // By what the kernel held back, not by what was got: a busy machine gives a free program little too.
    const limited = await inside(['spin', '1'], { cpus: 0.1 }).result();
    expect(limited.usage.throttledMs).toBeGreaterThan(0);
    const free = await runContainer({ rootfs, command: ['/inside/spin', '1'] }).result();
    expect(free.usage.throttledMs ?? 0).toBe(0);
  });

  it('says how long it was held back', async () => {
    await using box = await inside(['spin', '60'], { cpus: 0.2 });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    const s = await box.stats();
    expect(s.cpu?.throttledMs).toBeGreaterThan(0);
    expect(s.cpu?.throttledPeriods).toBeGreaterThan(0);
  });

  it.skipIf(!oracle.ok)(oracle.title('is held under runc as under ours'), async () => {
    const theirs = JSON.parse((await runc({ rootfs, args: ['/inside/spin', '2'], cpus: 0.5 })).stdout) as Spin;
    expect(theirs.cpuMs / theirs.wallMs).toBeLessThan(0.55);
  });
});

describe.skipIf(!n.ok || !pids.ok)(pids.title(n.title('pids')), () => {
  it('stop a fork loop', async () => {
    const r = await inside(['forkloop', '500'], { pids: 20 }).json();
    expect(r).toEqual({ made: 19, error: 'EAGAIN' });
  });

  it('are limited without being asked', async () => {
    const r = await runContainer({ rootfs, command: ['/inside/forkloop', '3000'] }).json();
    expect(r).toEqual({ made: 1023, error: 'EAGAIN' });
  });

  it('count what exec adds', async () => {
    await using box = await runContainer({ rootfs, command: ['/bin/sleep', '60'], resources: { pids: 10 } });
    expect(await box.exec(['/inside/forkloop', '500']).json()).toEqual({ made: 8, error: 'EAGAIN' });
  });

  it.skipIf(!oracle.ok)(oracle.title('stop it at the same number under runc'), async () => {
    expect(JSON.parse((await runc({ rootfs, args: ['/inside/forkloop', '500'], pids: 20 })).stdout)).toEqual({ made: 19, error: 'EAGAIN' });
  });
});
