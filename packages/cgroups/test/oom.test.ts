// The OOM killer acts inside, is told about, and is counted.
import { need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { type Cgroup, createCgroup, type OomEvent, OomKillCounter, oomKills } from '../src/index.js';
import { endChildren, exitOf, startWaiting, withParent } from './support.js';

afterEach(endChildren);

const MB = 1024 * 1024;
const n = need('cgroup:memory');

/** tail keeps all of a file that has no lines: it grows until it is stopped. */
async function runOut(box: Cgroup): Promise<{ code: number | null; signal: string | null }> {
  const child = startWaiting('exec tail /dev/zero');
  await box.add(child.pid);
  child.go();
  return exitOf(child);
}

async function collect(events: AsyncIterable<OomEvent>, count: number): Promise<OomEvent[]> {
  const all: OomEvent[] = [];
  for await (const e of events) if (all.push(e) === count) break;
  return all;
}

describe('running out of memory', () => {
  it.skipIf(!n.ok)(n.title('kills inside and is counted, with the peak at the limit'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 24 * MB });
      expect(await runOut(box)).toEqual({ code: null, signal: 'SIGKILL' });
      const { memory } = await box.stats();
      expect(memory).toMatchObject({ oomKills: 1, limitBytes: 24 * MB });
      if (memory?.limitHits !== null) expect(memory?.limitHits).toBeGreaterThan(0);
      if (memory?.peakBytes !== null) expect(memory?.peakBytes).toBeGreaterThan(20 * MB);
    });
  });

  it.skipIf(!n.ok)(n.title('is counted through one open file, until the cgroup is gone'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box', { memory: 24 * MB });
      using counter = new OomKillCounter(box.directories);
      const before = counter.look();
      expect(counter.count(before)).toBe(0);
      await runOut(box);
      expect([counter.count(before), counter.count(), oomKills(box.directories)]).toEqual([0, 1, 1]);
      counter.close();
      expect(counter.count()).toBe(1);
      using late = new OomKillCounter(box.directories);
      expect(late.count()).toBe(1);
      await box.remove();
      expect([late.look(), late.count(), counter.count()]).toEqual([null, 0, 0]);
    });
  });

  it.skipIf(!n.ok)(n.title('is told each time'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 24 * MB });
      const told = collect(box.oomEvents(), 2);
      await new Promise((r) => setTimeout(r, 50));
      await runOut(box);
      await runOut(box);
      expect(await told).toEqual([
        { oomKills: 1, killed: 1 },
        { oomKills: 2, killed: 1 },
      ]);
    });
  });

  it.skipIf(!n.ok)(n.title('stops being told by the signal, and by the removal of the cgroup'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box', { memory: 24 * MB });
      const abort = new AbortController();
      const first = collect(box.oomEvents({ signal: abort.signal }), 9);
      const second = collect(box.oomEvents(), 9);
      await new Promise((r) => setTimeout(r, 50));
      abort.abort();
      expect(await first).toEqual([]);
      await box.remove();
      expect(await second).toEqual([]);
      expect(await collect(box.oomEvents({ signal: AbortSignal.abort() }), 1)).toEqual([]);
    });
  });

  it.skipIf(!n.ok)(n.title('ends the telling too when another process removes the cgroup'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box', { memory: 24 * MB });
      const told = collect(box.oomEvents(), 9);
      await new Promise((r) => setTimeout(r, 50));
      const child = startWaiting(`rmdir ${[...new Set(Object.values(box.directories))].join(' ')}`);
      child.go();
      expect((await exitOf(child)).code).toBe(0);
      expect(await told).toEqual([]);
    });
  });
});
