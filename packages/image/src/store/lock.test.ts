// The lock between processes: one at a time, and a dead owner's lock is broken exactly once.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readlinkSync, symlinkSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { isLive } from './leases.js';
import { withLock } from './lock.js';
import { isAlive, ownerToken } from './owner.js';

/** A token like ours of a process that has ended. */
function deadToken(): string {
  const { pid } = spawnSync('true');
  const parts = ownerToken().split('-');
  parts[2] = String(pid);
  return parts.join('-');
}

describe('owners', () => {
  it('knows itself, and whom it cannot judge, as alive', () => {
    const [boot, namespace, pid, start] = ownerToken().split('-');
    expect(isAlive(ownerToken())).toBe(true);
    expect(isAlive(`${boot}-1-1-1`)).toBe(true);
    expect(isAlive('something else')).toBe(true);
    expect(isAlive(`${boot}-${namespace}-1-0`)).toBe(false);
    expect(isAlive(`${boot}-${namespace}-${pid}-${Number(start) + 1}`)).toBe(false);
    expect(isAlive(`00000000-${namespace}-${pid}-${start}`)).toBe(false);
    expect(isAlive(deadToken())).toBe(false);
  });

  it('takes another live process for alive', async () => {
    const child = spawn('sleep', ['5']);
    const stat = (await import('node:fs')).readFileSync(`/proc/${child.pid}/stat`, 'latin1');
    const start = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    const [boot, namespace] = ownerToken().split('-');
    expect(isAlive(`${boot}-${namespace}-${child.pid}-${start}`)).toBe(true);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    expect(isAlive(`${boot}-${namespace}-${child.pid}-${start}`)).toBe(false);
  });
});

describe('withLock', () => {
  it('lets one in at a time, in turn, and leaves nothing', async () => {
    const dir = makeTempDir('lock');
    let inside = 0;
    const order: number[] = [];
    await Promise.all(
      [1, 2, 3, 4, 5].map((i) =>
        withLock(dir, 'index', async () => {
          expect(++inside).toBe(1);
          await sleep(2);
          inside--;
          order.push(i);
        }),
      ),
    );
    expect(order).toEqual([1, 2, 3, 4, 5]);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('is given back when the work fails', async () => {
    const dir = makeTempDir('lock');
    await expect(withLock(dir, 'index', async () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await withLock(dir, 'index', async () => 'yes')).toBe('yes');
  });

  it('breaks the lock of a dead process, also of one that died while breaking', async () => {
    const dir = makeTempDir('lock');
    const dead = `${deadToken()}.abc`;
    const breaker = `${deadToken()}.def`;
    symlinkSync(dead, path.join(dir, 'index'));
    symlinkSync(breaker, path.join(dir, `break.${dead}`));
    expect(await withLock(dir, 'index', async () => existsSync(dir))).toBe(true);
    expect(readdirSync(dir)).toEqual([]);
  });

  it('waits for a live owner, and says who it is when that takes too long', async () => {
    const dir = makeTempDir('lock');
    symlinkSync(`${ownerToken()}.abc`, path.join(dir, 'index'));
    await expect(withLock(dir, 'index', async () => 1, { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'CTR_IMAGE_LIMIT',
      message: expect.stringContaining(`process ${process.pid} holds it`),
    });
  });

  /** As a process in another pid namespace leaves it. */
  const outOfSight = (random = 'abc'): string => {
    const [boot, namespace, , start] = ownerToken().split('-');
    return `${boot}-${Number(namespace) + 1}-7-${start}.${random}`;
  };

  it('breaks a lock out of sight that nobody renews, and that of its breaker', async () => {
    const dir = makeTempDir('lock');
    const dead = outOfSight();
    symlinkSync(dead, path.join(dir, 'index'));
    symlinkSync(outOfSight('def'), path.join(dir, `break.${dead}`));
    expect(await withLock(dir, 'index', async () => 'in', { staleMs: 30 })).toBe('in');
    expect(readdirSync(dir)).toEqual([]);
  });

  it('leaves one alone that is renewed, and names the file', async () => {
    const dir = makeTempDir('lock');
    const file = path.join(dir, 'index');
    symlinkSync(outOfSight(), file);
    const waiting = withLock(dir, 'index', async () => 1, { timeoutMs: 30 });
    await expect(waiting).rejects.toMatchObject({
      code: 'CTR_IMAGE_LIMIT',
      message: expect.stringContaining('process 7 of the pid namespace'),
      hint: expect.stringContaining(file),
    });
    expect(readlinkSync(file)).toBe(outOfSight());
  });

  it('renews what it holds, and gives back no lock that another has taken meanwhile', async () => {
    const dir = makeTempDir('lock');
    const file = path.join(dir, 'index');
    await withLock(
      dir,
      'index',
      async () => {
        const taken = lstatSync(file).mtimeMs;
        await expect.poll(() => lstatSync(file).mtimeMs).toBeGreaterThan(taken);
        unlinkSync(file);
        symlinkSync('another', file);
      },
      { beatMs: 5, staleMs: 0 },
    );
    expect(readlinkSync(file)).toBe('another');
  });
});

describe('leases out of sight', () => {
  it('count until nobody has renewed them for a day', async () => {
    const dir = makeTempDir('leases');
    const [boot, namespace, pid, start] = ownerToken().split('-');
    const name = `${boot}-${Number(namespace) + 1}-7-${start}.abc.json`;
    writeFileSync(path.join(dir, name), '{}');
    expect(await isLive(dir, name)).toBe(true);
    const old = Date.now() / 1000 - 25 * 3600;
    utimesSync(path.join(dir, name), old, old);
    expect(await isLive(dir, name)).toBe(false);
    // Who can be seen is judged by what is seen.
    const own = `${boot}-${namespace}-${pid}-${start}.abc.json`;
    writeFileSync(path.join(dir, own), '{}');
    utimesSync(path.join(dir, own), old, old);
    expect(await isLive(dir, own)).toBe(true);
    expect(await isLive(dir, `00000000-${namespace}-${pid}-${start}.abc.json`)).toBe(false);
  });
});
