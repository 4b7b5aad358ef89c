// The lock between processes: one at a time, and a dead owner's lock is broken exactly once.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
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
    await expect(withLock(dir, 'index', async () => 1, 30)).rejects.toMatchObject({
      code: 'CTR_IMAGE_LIMIT',
      message: expect.stringContaining(`process ${process.pid} holds it`),
    });
  });
});
