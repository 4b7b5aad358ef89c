// The monitor is killed: what ran ends, and the next container starts all the same.
import { readFileSync } from 'node:fs';
import { need, processes } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');

describe.skipIf(!n.ok)(n.title('a killed monitor'), () => {
  it('takes its containers along, and is replaced', async () => {
    const rootfs = busyboxRoot();
    const c = await runContainer({ rootfs, command: ['sleep', '100'] });
    const monitor = processes().find((p) => p.ppid === process.pid && p.comm.startsWith('ctr'));
    process.kill(monitor?.pid ?? 0, 'SIGKILL');
    expect(await c.exited).toMatchObject({ signal: 'SIGKILL' });
    expect(await runContainer({ rootfs, command: ['echo', 'again'] }).text()).toBe('again\n');
    await expect.poll(() => readFileSync('/proc/self/mountinfo', 'utf8').includes('ctr')).toBe(false);
  });
});
