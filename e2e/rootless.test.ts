// The promise: no root needed. An ordinary user's container has one id mapped, the same walls, and limits where root delegated them.
import './fixtures/store.js';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { host, makeTempDir, need, ownCgroups, processes } from '@ctr/internal/testing';
import { checkHost, runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { busyboxRoot } from './fixtures/busybox-root.js';
import { type Child, startChild } from './fixtures/child.js';
import type { Facts } from './fixtures/inside.js';

const base = need('linux', 'userns', 'overlay-in-userns', 'busybox', 'static-cc');
const user = need('ordinary-user');
const root = need('root', 'cgroup:memory', 'cgroup:pids');
const undelegated = user.ok && !host.can('cgroup:memory');

let rootfs = '';

beforeAll(async () => {
  if (base.ok) rootfs = await busyboxRoot();
});

describe.skipIf(!base.ok || !user.ok)(user.title(base.title('an ordinary user')), () => {
  const facts = () => runContainer({ rootfs, command: ['/inside/facts'] }).json<Facts>();

  it('is root inside, and himself outside', async () => {
    const f = await facts();
    expect([f.uid, f.gid, f.uidMap.map((l) => l.trim().split(/\s+/))]).toEqual([0, 0, [['0', String(process.getuid?.()), '1']]]);
    await using box = await runContainer({ rootfs, command: ['/bin/sleep', '60'] });
    expect(readFileSync(`/proc/${box.pid}/status`, 'utf8')).toContain(`Uid:\t${process.getuid?.()}\t`);
  });

  it('gets the same walls as root does', async () => {
    const { status, links, dev } = await facts();
    expect([status.NoNewPrivs, status.Seccomp, links, dev.includes('null')]).toEqual(['1', '2', ['lo'], true]);
  });

  it('owns what his container writes into his folder', async () => {
    const dir = makeTempDir('own');
    await runContainer({
      rootfs,
      command: ['/bin/sh', '-c', 'echo x > /data/file'],
      mounts: [{ type: 'bind', source: dir, target: '/data' }],
    }).result();
    expect(statSync(path.join(dir, 'file')).uid).toBe(process.getuid?.());
  });

  it('cannot be a user for whom there is no id, and is told what an administrator does', async () => {
    const error = await runContainer({ rootfs, command: ['/bin/true'], user: { uid: 1000, gid: 1000 } })
      .result()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ hint: expect.any(String) });
    // With ranges in /etc/subuid it can: see below.
    expect((error as Error).message).toMatch(/1000[\s\S]*(uidmap|--add-subuids)/);
  });

  it('cannot write over the machine’s own tree, and is told what to do instead', async () => {
    const error = await runContainer({ rootfs: 'host', command: ['/bin/true'] })
      .result()
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ name: 'UnsupportedError', hint: expect.stringContaining('readOnly') });
  });

  it('learns from checkHost what he has and what he lacks', async () => {
    const report = await checkHost();
    expect(JSON.stringify(report)).toMatch(/user namespace/i);
  });
});

const ranges = need('root', 'uidmap', 'subid-files');

/** An ordinary user who has ranges, and his folders. */
interface RangesUser {
  readonly home: string;
  /** A root file system that belongs to him. */
  readonly root: string;
  start(script: string, ...args: string[]): Child;
  /** What a script says as JSON, or what it complains about. */
  said(script: string, ...args: string[]): Promise<unknown>;
}

// newuidmap(1) wants a user with a name: `daemon` is on every system.
const [USER, START, SIZE] = [1, 200_000, 65_536];

function userWithRanges(): RangesUser {
  const home = makeTempDir('home');
  chownSync(home, USER, USER);
  chmodSync(rootfs, 0o755);
  const own = path.join(home, 'root');
  execFileSync('cp', ['-a', rootfs, own]);
  execFileSync('chown', ['-R', `${USER}:${USER}`, own]);
  const file = path.join(makeTempDir('ranges'), 'sub');
  writeFileSync(file, `${USER}:${START}:${SIZE}\n`);
  // In a mount namespace of its own: the host's files stay as they are.
  const as = `for f in subuid subgid; do mount --bind ${file} /etc/$f || exit 90; done; exec setpriv --reuid ${USER} --regid ${USER} --groups 4,24 "$@"`;
  const start = (script: string, ...args: string[]): Child =>
    startChild(script, args, {
      prefix: ['unshare', '-m', 'sh', '-c', as, 'sh'],
      env: { HOME: home, TMPDIR: home, CTR_ROOT: path.join(home, 'store'), CTR_RUN: path.join(home, 'run'), XDG_RUNTIME_DIR: home },
    });
  const said = async (script: string, ...args: string[]): Promise<unknown> => {
    const child = start(script, ...args);
    let text = '';
    child.node.stdout.on('data', (c) => {
      text += c;
    });
    await child.gone;
    return text === '' ? child.errors() : (JSON.parse(text) as unknown);
  };
  return { home, root: own, start, said };
}

describe.skipIf(!base.ok || !ranges.ok)(ranges.title(base.title('an ordinary user with ranges in /etc/subuid')), () => {
  // A map as the namespace around it has the ids: this user as 0, the range from 1 on.
  const map = ['0 0 1', `1 1 ${SIZE}`];

  it('is anybody inside, each of them somebody of his own outside', async () => {
    expect(await userWithRanges().said('ranges.mjs', rootfs)).toEqual({
      other: ['1000', '1001', '1001 29', ...map],
      auto: ['0', '0', '0', ...map],
      chown: ['33 34'],
      kept: [String(USER), String(USER), String(USER), USER],
      outside: START + 999,
      // None of this user's groups, 4 and 24, in either.
      exec: ['1000 1000 29', '0 0', '7 7 9'],
      again: [5, 5, 5],
      own: ['33', '33', '33', '0 0 1', '1 101 50'],
      ranges: { ok: true, why: expect.stringContaining(String(SIZE)) },
    });
  });

  it('writes on disk as anybody, and nothing stays', async () => {
    const daemon = userWithRanges();
    expect(await daemon.said('ranges-disk.mjs', daemon.root, 'all')).toEqual({
      auto: ['0 0 755', '33 33 777', '33 33 0', '33 33 644', 'hostname', 'passwd'],
      other: ['1000', '1000', 'refused'],
      kept: ['0', '0', '0 0'],
      failed: 'CTR_START_FAILED',
      again: ['1', '2', '3'],
      left: [],
    });
  });

  /** The layers of all sessions. */
  const layers = ({ home }: RangesUser): string[] => {
    const containers = path.join(home, 'store/containers');
    return existsSync(containers) ? readdirSync(containers).flatMap((s) => readdirSync(path.join(containers, s))) : [];
  };

  it('what they wrote is gone after kill -9 of Node', async () => {
    const daemon = userWithRanges();
    const child = daemon.start('ranges-disk.mjs', daemon.root, 'stay');
    await child.ready;
    expect(layers(daemon)).toHaveLength(1);
    child.node.kill('SIGKILL');
    await child.gone;
    await expect.poll(() => [...layers(daemon), ...readdirSync(path.join(daemon.home, 'run'))], { timeout: 10_000 }).toEqual([]);
  });

  it('… and after kill -9 of the monitor too it goes with the next start', async () => {
    const daemon = userWithRanges();
    const child = daemon.start('ranges-disk.mjs', daemon.root, 'stay');
    await child.ready;
    const monitor = processes().find((p) => p.ppid === child.node.pid);
    process.kill(monitor?.pid ?? 0, 'SIGKILL');
    child.node.kill('SIGKILL');
    await child.gone;
    expect(layers(daemon)).toHaveLength(1);
    const next = daemon.start('ranges-disk.mjs', daemon.root, 'stay');
    await next.ready;
    // Its own.
    await expect.poll(() => layers(daemon).length, { timeout: 10_000 }).toBe(1);
    await expect.poll(() => readdirSync(path.join(daemon.home, 'run')).length, { timeout: 10_000 }).toBe(1);
    next.node.kill('SIGKILL');
    await next.gone;
    await expect.poll(() => [...layers(daemon), ...readdirSync(path.join(daemon.home, 'run'))], { timeout: 10_000 }).toEqual([]);
  });
});

describe.skipIf(!base.ok || !undelegated)(
  base.title(undelegated ? 'a limit nobody delegated' : 'a limit nobody delegated [skipped: this user may make control groups]'),
  () => {
    it.each([{ memory: '100m' }, { pids: 10 }, { cpus: 0.5 }])(
      '%j is refused before anything starts, never left out',
      async (resources) => {
        const error = await runContainer({ rootfs, command: ['/bin/true'], resources })
          .result()
          .catch((e: unknown) => e);
        expect(error).toMatchObject({ name: 'UnsupportedError', code: 'CTR_UNSUPPORTED', hint: expect.any(String) });
      },
    );
  },
);

describe.skipIf(!base.ok || !root.ok)(root.title(base.title('limits that root delegated')), () => {
  const USER = 65534;

  it('hold for the ordinary user', async () => {
    const groups = ownCgroups().map((c) => ({ ...c, dir: path.join(c.directory, `delegated-${process.pid}`) }));
    for (const g of groups) delegate(g.dir, g.controllers.includes('cpuset'));
    const home = makeTempDir('home');
    chownSync(home, USER, USER);
    chmodSync(rootfs, 0o755);
    try {
      const join = `for d in ${groups.map((g) => g.dir).join(' ')}; do echo $$ > $d/cgroup.procs || exit 90; done; exec setpriv --reuid ${USER} --regid ${USER} --clear-groups "$@"`;
      const child = startChild('limited.mjs', [rootfs], {
        prefix: ['sh', '-c', join, 'sh'],
        env: { HOME: home, TMPDIR: home, CTR_ROOT: path.join(home, 'store'), CTR_RUN: path.join(home, 'run'), XDG_RUNTIME_DIR: home },
      });
      let text = '';
      child.node.stdout.on('data', (c) => {
        text += c;
      });
      await child.gone;
      expect(text === '' ? child.errors() : JSON.parse(text)).toEqual({ uid: USER, reason: 'oom', signal: 'SIGKILL' });
    } finally {
      // The monitor outlives its Node by the moment that it takes to clean up.
      await expect.poll(() => groups.flatMap((g) => remove(g.dir)), { timeout: 2000 }).toEqual([]);
    }
  });

  /** What keeps the directory from being removed; empty when it is gone. */
  function remove(dir: string): string[] {
    if (!existsSync(dir)) return [];
    const children = readdirSync(dir, { withFileTypes: true }).filter((d) => d.isDirectory());
    const processes = readFileSync(path.join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
    if (children.length + processes.length === 0) rmdirSync(dir);
    return [...children.map((c) => path.join(dir, c.name)), ...processes.map((p) => `${dir}: process ${p}`)];
  }

  /** What an administrator does: the directory and the files that move processes belong to the user. */
  function delegate(dir: string, cpuset: boolean): void {
    mkdirSync(dir);
    for (const f of ['', 'cgroup.procs', 'tasks', 'cgroup.subtree_control', 'cgroup.threads']) {
      try {
        chownSync(path.join(dir, f), USER, USER);
      } catch {
        // tasks is of v1, the other two of v2
      }
    }
    // A new v1 cpuset is empty, and takes no process before it has cores and memory.
    if (cpuset)
      for (const f of ['cpuset.cpus', 'cpuset.mems']) writeFileSync(path.join(dir, f), readFileSync(path.join(path.dirname(dir), f)));
  }
});
