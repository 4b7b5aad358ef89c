// The monitor is killed: what ran ends, and the next container starts all the same.
import { readdirSync, readFileSync } from 'node:fs';
import { need, ownCgroups, processes } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

/** Parent cgroups that were made since this file began. */
const before = new Set(parents());
function parents(): string[] {
  return ownCgroups().flatMap(({ directory }) => {
    try {
      return readdirSync(directory).filter((name) => /^ctr\.[0-9a-f]{16}$/.test(name));
    } catch {
      return [];
    }
  });
}
const ourCgroups = (): number => new Set(parents().filter((name) => !before.has(name))).size;

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');

describe.skipIf(!n.ok)(n.title('a killed monitor'), () => {
  it('takes its containers along, and is replaced', async () => {
    const rootfs = busyboxRoot();
    const c = await runContainer({ rootfs, command: ['sleep', '100'] });
    const monitor = processes().find((p) => p.ppid === process.pid && p.comm.startsWith('ctr'));
    process.kill(monitor?.pid ?? 0, 'SIGKILL');
    expect(await c.exited).toMatchObject({ signal: 'SIGKILL' });
    const again = await Promise.all([1, 2, 3].map((i) => runContainer({ rootfs, command: ['echo', String(i)] }).text()));
    expect(again).toEqual(['1\n', '2\n', '3\n']);
    // One session replaces the lost one, and of that nothing stays.
    await expect.poll(ourCgroups).toBeLessThanOrEqual(1);
    await expect.poll(() => readFileSync('/proc/self/mountinfo', 'utf8').includes('ctr')).toBe(false);
  });
});
