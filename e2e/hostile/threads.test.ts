// Threads that end: PR_SET_PDEATHSIG is of the thread that made a process (prctl(2)), so that a container could die with any of them.
import { leakCheck, processes } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { startChild } from '../fixtures/child.js';
import { base, rootfs, SOON } from './fixtures/hostile.js';

beforeAll(async () => {
  if (base.ok) await rootfs();
});

/** A dead orphan waits as a zombie for the system's init: it is dead all the same. */
const alive = (pids: readonly number[]): number[] => {
  const running = new Set(processes().flatMap((p) => (p.state === 'Z' ? [] : [p.pid])));
  return pids.filter((pid) => running.has(pid));
};

describe.skipIf(!base.ok)(base.title('a Node with threads'), () => {
  it('F-08 a worker’s containers end with it, the others with the process, whatever other threads do', async () => {
    const check = leakCheck();
    const child = startChild('../hostile/children/threads.mjs', [await rootfs()]);
    const { kept, lost } = (await child.ready) as { kept: number[]; lost: number[] };
    expect([kept.length, lost.length]).toEqual([5, 5]);
    await expect.poll(() => alive(lost), { timeout: SOON }).toEqual([]);
    expect(alive(kept)).toEqual(kept);
    child.node.kill('SIGKILL');
    await child.gone;
    await expect.poll(() => alive(kept), { timeout: SOON }).toEqual([]);
    await check.assertClean({ withinMs: SOON });
  });
});
