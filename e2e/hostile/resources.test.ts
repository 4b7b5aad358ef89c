// Malicious processes that take all they can get. Every bomb has a limit around it and a bound of its own, so that a wall that is
// missing shows as a failed test and not as a dead machine; what no limit of a container covers runs only in a machine of its own.
import { chmodSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeTempDir, need } from '@ctr/internal/testing';
import { type RunOptions, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { base, cleanly, inside, rootfs, SOON, WAYS } from './fixtures/hostile.js';

const memory = need('cgroup:memory');
const cpu = need('cgroup:cpu');
const pids = need('cgroup:pids');
const vm = need('vm');
const mapped = need('mapped-layers');

interface Bomb {
  taken: number;
  error: string;
}
const bomb = async (kind: string, bound: number, o: RunOptions = {}, ...more: string[]) =>
  runContainer({ rootfs: await rootfs(), command: ['/inside/bomb', kind, String(bound), ...more], ...o });
const kept = (file: string): string => readFileSync(file, 'utf8');
/** What of these kinds the host itself has. */
const hostHas = () => ({
  sysv: ['shm', 'sem', 'msg'].map((k) => kept(`/proc/sysvipc/${k}`).trim().split('\n').length),
  terminals: Number(kept('/proc/sys/kernel/pty/nr')),
});

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok || !memory.ok).each(WAYS)(memory.title(base.title('memory that $way takes')), ({ options }) => {
  const LIMIT = 48 << 20;
  // Twice the limit: enough to hit the wall, little enough for any machine.
  const MEBIBYTES = 96;

  const endsWithTheLimit = async (kind: string) => {
    const r = await cleanly(async () => (await bomb(kind, MEBIBYTES, { ...options, resources: { memory: LIMIT } })).exited);
    expect([kind, r.oomKilled, r.reason]).toEqual([kind, true, 'oom']);
    expect(r.usage.memoryPeakBytes ?? 0).toBeLessThanOrEqual(LIMIT);
  };
  it.each(['anonymous', 'memfd', 'sysvshm'])('C-29 %s: ends with the limit, and is told as it was', endsWithTheLimit);

  // It writes to /root of the image, which is nobody's there.
  const layer = options.userns === undefined ? base : mapped;
  it.skipIf(!layer.ok)(layer.title('C-29 layer: ends with the limit, and is told as it was'), () => endsWithTheLimit('layer'));

  it.each([
    ['shm', '/dev/shm', {}],
    ['tmpfs', 'a tmpfs', { tmpfs: { '/mnt': '1g' } }],
  ])('C-29 %s: what is written to memory is counted (%s)', async (kind, _where, more) => {
    const o = { ...options, ...more, resources: { memory: LIMIT } };
    const r = await cleanly(async () => (await bomb(kind, MEBIBYTES, o)).exited);
    expect([r.oomKilled, r.reason]).toEqual([true, 'oom']);
  });

  it.each(['pipes', 'sockets', 'names'])(
    'C-29 %s: what the kernel keeps for it is counted or bounded too',
    async (kind) => {
      const bound = kind === 'names' ? 200_000 : 20_000;
      const o = { ...options, resources: { memory: LIMIT }, ulimits: { nofile: 4096 } };
      const r = await cleanly(() => bomb(kind, bound, o).then((c) => c.exited));
      expect(r.reason === 'oom' || (r.reason === 'exited' && (r.usage.memoryPeakBytes ?? 0) <= LIMIT)).toBe(true);
    },
    60_000,
  );

  it('C-29 locked: no more than memlock, without the capability', async () => {
    const locked = await cleanly(async () =>
      runContainer({
        rootfs: await rootfs(),
        command: ['/inside/bomb', 'locked', '96'],
        ...options,
        ulimits: { memlock: 4 << 20 },
      }).json<Bomb>(),
    );
    expect([locked.taken <= 4, locked.error]).toEqual([true, 'EAGAIN']);
  });

  it('C-29 the cache of files gives way, and is no reason to die', async () => {
    // A hole takes no room on disk, and as many pages of the cache as anything else when it is read.
    const folder = makeTempDir('big');
    chmodSync(folder, 0o755);
    writeFileSync(path.join(folder, 'file'), '');
    truncateSync(path.join(folder, 'file'), 96 << 20);
    const r = await cleanly(() =>
      inside('wc -c < /big/file', {
        ...options,
        mounts: [{ type: 'bind', source: folder, target: '/big' }],
        resources: { memory: '32m' },
      }),
    );
    expect([r.stdout, r.oomKilled]).toEqual([`${96 << 20}\n`, false]);
  });

  it('C-29 Node and the next container live on', async () => {
    const bombs = await cleanly(() =>
      Promise.all([1, 2, 3].map(async () => (await bomb('anonymous', MEBIBYTES, { ...options, resources: { memory: LIMIT } })).exited)),
    );
    expect(bombs.map((b) => b.reason)).toEqual(['oom', 'oom', 'oom']);
    expect((await inside('echo alive', options)).stdout).toBe('alive\n');
  });
});

describe.skipIf(!base.ok || !cpu.ok).each(WAYS)(cpu.title(base.title('time that $way takes')), ({ options }) => {
  it.each(['compute', 'calls', 'faults'])('C-30 %s in a hundred threads: no more than its part', async (kind) => {
    const o = { ...options, resources: { cpus: 0.2 }, timeout: 900 };
    await cleanly(async () => {
      const box = await runContainer({ rootfs: await rootfs(), command: ['/inside/burn', '60', '100', kind], ...o });
      // Node and the monitor are still there for others.
      const other = await inside('echo here', options);
      const r = await box.exited;
      expect([other.stdout, r.reason]).toEqual(['here\n', 'timeout']);
      // Ten per cent, and a period of a tenth of a second that each of two cores may begin with.
      expect(r.usage.cpuMs ?? r.usage.cpuUserMs + r.usage.cpuSystemMs).toBeLessThan(r.durationMs * 0.2 * 1.1 + 200);
    });
  });

  it('C-30 it is killed at once when it is told to end', async () => {
    await cleanly(async () => {
      const box = await runContainer({
        rootfs: await rootfs(),
        command: ['/inside/burn', '60', '200', 'calls'],
        ...options,
        resources: { cpus: 0.2 },
      });
      await box[Symbol.asyncDispose]();
      expect((await box.exited).signal).toBe('SIGKILL');
    });
  });
});

describe.skipIf(!base.ok).each(WAYS)(base.title('things that $way takes'), ({ options }) => {
  it('C-32 descriptors end at the limit that was set, also when it is raised', async () => {
    const take = (kind: string, nofile: { soft: number; hard: number }, ...more: string[]) =>
      cleanly(async () =>
        runContainer({
          rootfs: await rootfs(),
          command: ['/inside/bomb', kind, '5000', ...more],
          ...options,
          ulimits: { nofile },
        }).json<Bomb>(),
      );
    for (const kind of ['descriptors', 'epoll', 'timers']) {
      const [soft, hard] = [await take(kind, { soft: 100, hard: 300 }), await take(kind, { soft: 100, hard: 300 }, 'raise')];
      expect([kind, soft, hard]).toEqual([kind, { taken: 97, error: 'EMFILE' }, { taken: 297, error: 'EMFILE' }]);
    }
  });

  it('C-32 message queues, pending signals and timers of a process end at its limits', async () => {
    const o = { ...options, ulimits: { msgqueue: 200_000, sigpending: 50 } };
    const run = async (kind: string) =>
      cleanly(async () => runContainer({ rootfs: await rootfs(), command: ['/inside/bomb', kind, '3000'], ...o }).json<Bomb>());
    expect((await run('queues')).error).toMatch(/EMFILE|ENOSPC|ENOMEM/);
    expect((await run('signals')).error).toBe('EAGAIN');
    expect((await run('posix-timers')).error).toBe('EAGAIN');
  });

  it('C-32 shared memory, semaphores, queues and terminals are gone with the container', async () => {
    const before = hostHas();
    const queues = (): string => {
      try {
        return readdirSync('/dev/mqueue').join();
      } catch {
        return '';
      }
    };
    const queuesBefore = queues();
    for (const kind of ['shmids', 'semaphores', 'queues', 'terminals'])
      expect(
        (
          await cleanly(async () =>
            runContainer({ rootfs: await rootfs(), command: ['/inside/bomb', kind, '60'], ...options }).json<Bomb>(),
          )
        ).taken,
      ).toBeGreaterThan(5);
    expect(hostHas().sysv).toEqual(before.sysv);
    expect(queues()).toBe(queuesBefore);
    await expect.poll(() => hostHas().terminals - before.terminals, { timeout: SOON }).toBeLessThan(20);
  });

  it.skipIf(!pids.ok)(pids.title('C-35 a fork bomb ends at the limit, and with its first process'), async () => {
    const r = await cleanly(() => inside(':(){ :|:& }; : ; sleep 1; echo end', { ...options, resources: { pids: 64 } }));
    expect(r.usage.pidsPeak ?? 64).toBeLessThanOrEqual(64);
  });
});

describe.skipIf(!base.ok || !vm.ok)(vm.title(base.title('what only the machine bounds')), () => {
  // Counted per user of the host (inotify(7), max_user_instances): a container that is the host's root takes them from root.
  it('C-32 inotify instances come back when the container ends', async () => {
    for (let i = 0; i < 3; i++) {
      const r = await cleanly(async () =>
        runContainer({ rootfs: await rootfs(), command: ['/inside/bomb', 'inotify', '100000'] }).json<Bomb>(),
      );
      expect([r.error, r.taken > 10]).toEqual(['EMFILE', true]);
    }
  });

  it('C-29 without a limit the kernel ends the container, not Node', async () => {
    const r = await cleanly(() => inside('exec /inside/bomb anonymous 1000000', { oomScoreAdj: 1000 }));
    expect(r.signal).toBe('SIGKILL');
  }, 120_000);
});
