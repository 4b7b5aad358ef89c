// What the monitor holds without a process: locks, directories, cgroups; and the lock itself.
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import path from 'node:path';
import { named, type Step, slot } from '@ctr/internal/steps';
import { host, makeTempDir, need, ownCgroups, rounds } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { closeLauncher, hold, type SpawnOptions, spawn, tryFlock } from '../src/index.js';
import { AT_FDCWD, atFlags } from '../src/steps/flags.js';
import { bundle, start, until } from './node-child.js';
import { ENV, leaks, messageOf, shell } from './run.js';

const O_CREAT_RDWR = named(0o2000102, 'O_RDWR|O_CREAT|O_CLOEXEC');
const LOCK_EX_NB = named(6, 'LOCK_EX|LOCK_NB');

const locking = (file: string): Step[] => [
  { call: 'openat', args: [AT_FDCWD, file, O_CREAT_RDWR, 0o600], into: 'lock', doing: 'open the lock' },
  { call: 'flock', args: [slot('lock'), LOCK_EX_NB], doing: 'take the lock', path: file },
];

/** Whether somebody holds the lock. */
function locked(file: string): boolean {
  const fd = openSync(file, 'r+');
  try {
    return !tryFlock(fd);
  } finally {
    closeSync(fd);
  }
}

describe('tryFlock', () => {
  it('takes a free lock, and says no to one that is held', () => {
    const file = path.join(makeTempDir('lock'), 'lock');
    const [a, b] = [openSync(file, 'w'), openSync(file, 'r+')];
    expect(tryFlock(a)).toBe(true);
    expect(tryFlock(a)).toBe(true);
    expect(tryFlock(b)).toBe(false);
    closeSync(a);
    expect(tryFlock(b)).toBe(true);
    closeSync(b);
  });

  it('tells what is no descriptor', async () => {
    expect(await messageOf((async () => tryFlock(99_999))())).toMatchInlineSnapshot(`"take a lock: flock: EBADF (bad file descriptor)"`);
  });
});

describe('hold', () => {
  it('keeps what it opened until the release, and then cleans up', async () => {
    const dir = makeTempDir('hold');
    const file = path.join(dir, 'lock');
    const cleanup: Step[] = [{ call: 'unlinkat', args: [AT_FDCWD, file, 0], doing: 'remove the lock' }];
    const h = await hold({ doing: 'hold a lock', prepare: locking(file), cleanup });
    expect(locked(file)).toBe(true);
    await shell('true');
    expect(locked(file)).toBe(true);
    await h.release();
    expect(existsSync(file)).toBe(false);
    await h.release();
  });

  it('lets go of the lock at once, though a tree is being removed meanwhile', async () => {
    const dir = makeTempDir('hold');
    const file = path.join(dir, 'lock');
    const h = await hold({ doing: 'hold a lock', prepare: locking(file), cleanup: [] });
    const big = path.join(dir, 'big');
    await shell(`mkdir ${big}; cd ${big}; i=0; while [ $i -lt 3000 ]; do : >$i; i=$((i+1)); done`);
    // The process that removes the tree is made while the lock is held.
    const p = await spawn({
      args: ['true'],
      env: ENV,
      cleanup: [{ call: 'remove_tree', args: [big] }],
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    await p.exited;
    await h.release();
    expect(locked(file)).toBe(false);
    await p.cleaned;
    expect(existsSync(big)).toBe(false);
  });

  it('can clean up by the descriptors that it holds', async () => {
    const dir = makeTempDir('hold');
    const at = path.join(dir, 'parent');
    const h = await hold({
      doing: 'hold a directory',
      prepare: [
        { call: 'mkdirat', args: [AT_FDCWD, at, 0o700] },
        { call: 'openat', args: [AT_FDCWD, at, named(0o2000000, 'O_CLOEXEC')], into: 'dir' },
        { call: 'mkdirat', args: [slot('dir'), 'child', 0o700] },
      ],
      cleanup: [{ call: 'unlinkat', args: [slot('dir'), 'child', atFlags('AT_REMOVEDIR')], doing: 'remove the child' }],
    });
    await h.release();
    expect(readdirSync(at)).toEqual([]);
  });

  it('a descriptor that was closed on the way is not closed again', async () => {
    const dir = makeTempDir('hold');
    const prepare: Step[] = [
      { call: 'openat', args: [AT_FDCWD, dir, 0o2000000], into: 'note' },
      { call: 'close', args: [slot('note')] },
      ...locking(path.join(dir, 'lock')),
    ];
    const first = await hold({ doing: 'first', prepare, cleanup: [] });
    // Takes the number that `note` had.
    const second = await hold({ doing: 'second', prepare: locking(path.join(dir, 'other')), cleanup: [] });
    await first.release();
    expect(locked(path.join(dir, 'other'))).toBe(true);
    await second.release();
    expect(locked(path.join(dir, 'other'))).toBe(false);
  });

  it('that cannot be prepared is refused with the step, cleaned up, and held by nobody', async () => {
    const dir = makeTempDir('hold');
    const file = path.join(dir, 'lock');
    const holder = openSync(file, 'w');
    expect(tryFlock(holder)).toBe(true);
    const cleanup: Step[] = [{ call: 'mkdirat', args: [AT_FDCWD, path.join(dir, 'cleaned'), 0o700] }];
    const message = await messageOf(hold({ doing: 'open the session', prepare: locking(file), cleanup }));
    expect(message.replaceAll(dir, '<dir>')).toMatchInlineSnapshot(`
      "open the session: take the lock: flock: EAGAIN (resource temporarily unavailable)
        flock(lock, LOCK_EX|LOCK_NB)"
    `);
    expect(readdirSync(dir).sort()).toEqual(['cleaned', 'lock']);
    closeSync(holder);
    expect(locked(file)).toBe(false);
  });

  it('rejects the release with what could not be cleaned up', async () => {
    const h = await hold({
      doing: 'hold',
      prepare: [],
      cleanup: [{ call: 'unlinkat', args: [AT_FDCWD, '/nowhere', 0], doing: 'remove it' }],
    });
    expect(await messageOf(h.release())).toMatchInlineSnapshot(
      `"clean up hold: remove it: unlinkat "/nowhere": ENOENT (no such file or directory)"`,
    );
  });

  it('leaves nothing in this process, a thousand times', async () => {
    await shell('true');
    const check = leaks();
    for (let i = 0; i < rounds(1000); i += 50) {
      const prepare: Step[] = [{ call: 'openat', args: [AT_FDCWD, '/', 0o2000000], into: 'x' }];
      const all = await Promise.all(Array.from({ length: 50 }, () => hold({ doing: 'hold', prepare, cleanup: [] })));
      await Promise.all(all.map((h) => h.release()));
    }
    await check.assertClean();
  });

  it('ends after the processes when Node is gone', async () => {
    const dir = makeTempDir('hold');
    const node = start(
      await bundle(`
        import { hold, spawn } from 'ns';
        const dir = ${JSON.stringify(dir)};
        await hold({ doing: 'hold', prepare: [{ call: 'mkdirat', args: [-100, dir + '/parent', 0o700] }],
          cleanup: [{ call: 'unlinkat', args: [-100, dir + '/parent', 0x200] }, { call: 'mkdirat', args: [-100, dir + '/held was last', 0o700] }] });
        await spawn({ args: ['sleep', '600'], env: { PATH: '/usr/bin:/bin' }, stdio: ['ignore', 'ignore', 'ignore'],
          prepare: [{ call: 'mkdirat', args: [-100, dir + '/parent/child', 0o700] }],
          cleanup: [{ call: 'unlinkat', args: [-100, dir + '/parent/child', 0x200] }] });
        console.log('ready');
      `),
    );
    expect(await node.line()).toBe('ready');
    expect(readdirSync(dir)).toEqual(['parent']);
    node.process.kill('SIGKILL');
    await node.ended;
    // The parent could be removed only after the child was.
    await until(() => (readdirSync(dir).join() === 'held was last' ? [] : readdirSync(dir)));
  });

  it('does not keep Node from ending', async () => {
    const node = start(
      await bundle(`import { hold } from 'ns'; await hold({ doing: 'hold', prepare: [], cleanup: [] }); console.log('held');`),
    );
    expect(await node.line()).toBe('held');
    expect(await node.ended).toEqual({ code: 0, signal: null, stderr: '' });
  });

  it('is gone with the launcher', async () => {
    const file = path.join(makeTempDir('hold'), 'lock');
    const h = await hold({ doing: 'hold', prepare: locking(file), cleanup: [] });
    await closeLauncher();
    expect(locked(file)).toBe(false);
    await h.release();
  });
});

const unified = ownCgroups().find((c) => c.version === 2)?.directory ?? '/nowhere';
host.define('cgroup.kill', {
  test: () => {
    const dir = path.join(unified, `ctr-test-probe-${process.pid}`);
    mkdirSync(dir);
    const there = existsSync(path.join(dir, 'cgroup.kill'));
    rmdirSync(dir);
    return there;
  },
  cure: 'mount cgroup2, on Linux 5.14 or newer, writable for this user',
});
const killable = need('cgroup.kill');
const pids = need('root', 'cgroup1:pids');

describe.skipIf(!pids.ok)(pids.title('EBUSY in the clean-up'), () => {
  const base = ownCgroups().find((c) => c.version === 1 && c.controllers.includes('pids'))?.directory ?? '';
  /** A group in which a child of the program lives on for a while. */
  const lingering = (name: string, seconds: number): SpawnOptions => {
    const dir = path.join(base, name);
    return {
      args: ['sh', '-c', `sleep ${seconds} & exit 0`],
      env: ENV,
      stdio: ['ignore', 'ignore', 'ignore'],
      cgroup: {
        prepare: [
          { call: 'mkdirat', args: [AT_FDCWD, dir, 0o755] },
          { call: 'openat', args: [AT_FDCWD, `${dir}/tasks`, named(0o2000001, 'O_WRONLY|O_CLOEXEC')], into: 'tasks' },
        ],
        setup: [{ call: 'write', args: [slot('tasks'), '0', 1] }],
        collect: [],
        cleanup: [{ call: 'unlinkat', args: [AT_FDCWD, dir, atFlags('AT_REMOVEDIR')], allow: ['ENOENT'], doing: 'remove the group' }],
      },
    };
  };

  it('is tried again until it works, and holds nobody up', async () => {
    const p = await spawn(lingering(`ctr-test-busy-${process.pid}`, 0.4));
    await p.exited;
    let cleaned = false;
    const done = p.cleaned.then(() => {
      cleaned = true;
    });
    for (let i = 0; i < 5; i++) await shell('true');
    expect(cleaned).toBe(false);
    await done;
  });

  it('is told when it does not end', async () => {
    const name = `ctr-test-busy-${process.pid}-2`;
    const p = await spawn(lingering(name, 600));
    expect((await messageOf(p.cleaned)).replace(path.join(base, name), '<group>')).toMatchInlineSnapshot(
      `"clean up start sh: remove the group: unlinkat "<group>": EBUSY (device or resource busy)"`,
    );
    const left = readFileSync(path.join(base, name, 'cgroup.procs'), 'utf8').trim();
    process.kill(Number(left), 'SIGKILL');
    await expect.poll(() => tryRemove(path.join(base, name))).toBe(true);
  });

  it.skipIf(!killable.ok)(killable.title('does not come up where the group can be killed: what the program left goes too'), async () => {
    const dir = path.join(unified, `ctr-test-kill-${process.pid}`);
    const o = lingering(`ctr-test-kill-${process.pid}`, 600);
    const cgroup = o.cgroup as NonNullable<SpawnOptions['cgroup']>;
    const p = await spawn({
      ...o,
      cgroup: {
        ...cgroup,
        prepare: [
          ...cgroup.prepare,
          { call: 'mkdirat', args: [AT_FDCWD, dir, 0o755] },
          { call: 'openat', args: [AT_FDCWD, dir, named(0o12000000, 'O_PATH|O_CLOEXEC')], into: 'unified' },
        ],
        cloneInto: 'unified',
        kill: [
          { call: 'openat', args: [AT_FDCWD, `${dir}/cgroup.kill`, named(0o2000001, 'O_WRONLY|O_CLOEXEC')], into: 'kill' },
          { call: 'write', args: [slot('kill'), '1', 1] },
        ],
        cleanup: [...cgroup.cleanup, { call: 'unlinkat', args: [AT_FDCWD, dir, atFlags('AT_REMOVEDIR')], allow: ['ENOENT'] }],
      },
    });
    await p.exited;
    const before = performance.now();
    await p.cleaned;
    expect(performance.now() - before).toBeLessThan(4000);
    expect(existsSync(dir)).toBe(false);
  });
});

function tryRemove(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch {
    return false;
  }
}
