// The monitor is killed: what ran ends, the next container starts all the same, and nothing of the old session stays.
import { existsSync } from 'node:fs';
import { need, processes } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');

describe.skipIf(!n.ok)(n.title('a killed monitor'), () => {
  it('takes its containers along, and is replaced', async () => {
    const rootfs = busyboxRoot();
    const c = await runContainer({ rootfs, command: ['sleep', '100'] });
    /** The session's parent cgroups, from those of its container. */
    const parents = Object.values(c.inspect().cgroups).map((directory) => directory.replace(/(\/ctr\.[0-9a-f]{16})\/.*$/, '$1'));
    const monitor = processes().find((p) => p.ppid === process.pid && p.comm.startsWith('ctr'));
    process.kill(monitor?.pid ?? 0, 'SIGKILL');
    expect(await c.exited).toMatchObject({ signal: 'SIGKILL' });
    const again = await Promise.all([1, 2, 3].map((i) => runContainer({ rootfs, command: ['echo', String(i)] }).text()));
    expect(again).toEqual(['1\n', '2\n', '3\n']);
    await expect.poll(() => parents.filter((directory) => existsSync(directory)), { timeout: 5000 }).toEqual([]);
  });
});
