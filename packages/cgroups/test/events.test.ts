// What happens is told as it happens, and the telling ends with the cgroup.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { host, need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { type Cgroup, type CgroupEvent, type CgroupEventKind, createCgroup } from '../src/index.js';
import { endChildren, exitOf, start, startWaiting, withParent } from './support.js';

afterEach(endChildren);

const MB = 1024 * 1024;

/** Collects from now on; `until` ends it. */
function collect<T>(source: AsyncIterable<T>, until: (all: T[]) => boolean): Promise<T[]> {
  const all: T[] = [];
  return (async () => {
    for await (const e of source) {
      all.push(e);
      if (until(all)) break;
    }
    return all;
  })();
}

const settle = (): Promise<void> => sleep(50);

/** Events of these kinds while `work` goes on, until there are `count`. */
async function told(box: Cgroup, kinds: CgroupEventKind[], count: number, work: () => Promise<unknown>): Promise<CgroupEvent[]> {
  const events = collect(box.events({ kinds }), (all) => all.length === count);
  await settle();
  await work();
  return events;
}

const pressure = (): boolean => existsSync('/proc/pressure/memory');

host.define('pressure', { test: pressure, cure: 'a kernel with CONFIG_PSI, booted with psi=1' });

describe('events', () => {
  const state = need('cgroup2:hugetlb');
  it.skipIf(!state.ok)(state.title('populated and frozen, both ways'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      const child = start('sleep', ['1000']);
      expect(await told(box, ['populated'], 1, () => box.add(child.pid))).toEqual([{ kind: 'populated', value: true }]);
      expect(
        await told(box, ['frozen'], 2, () =>
          box
            .freeze()
            .then(() => sleep(50))
            .then(() => box.thaw()),
        ),
      ).toEqual([
        { kind: 'frozen', value: true },
        { kind: 'frozen', value: false },
      ]);
      expect(await told(box, ['populated'], 1, () => box.kill())).toEqual([{ kind: 'populated', value: false }]);
    });
  });

  const pids = need('cgroup2:pids');
  it.skipIf(!pids.ok)(pids.title('a fork that fails at the limit'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { pids: 1 });
      const events = await told(box, ['pids-max'], 1, async () => {
        const child = startWaiting('sleep 0 2>/dev/null; exit 3');
        await box.add(child.pid);
        child.go();
        await exitOf(child);
      });
      expect(events).toEqual([{ kind: 'pids-max', count: expect.any(Number), total: expect.any(Number) }]);
    });
  });

  const memory = need('cgroup:memory');
  it.skipIf(!memory.ok)(memory.title('a kill when memory runs out'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 24 * MB });
      const events = await told(box, ['oom-kill'], 1, async () => {
        const child = startWaiting('exec tail /dev/zero');
        await box.add(child.pid);
        child.go();
        await exitOf(child);
      });
      expect(events).toEqual([{ kind: 'oom-kill', count: 1, total: 1 }]);
    });
  });

  const high = need('cgroup2:memory');
  it.skipIf(!high.ok)(high.title('being slowed down at memory.high, and the limit'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memoryHigh: 8 * MB, memory: 64 * MB });
      const events = await told(box, ['memory-high'], 1, async () => {
        const child = startWaiting('exec head -c 30000000 /dev/zero | tail -c 30000000 >/dev/null');
        await box.add(child.pid);
        child.go();
      });
      expect(events).toMatchObject([{ kind: 'memory-high' }]);
      expect((await box.stats()).memory?.highHits).toBeGreaterThan(0);
    });
  });

  it.skipIf(!memory.ok)(memory.title('end with the cgroup, with the signal, and leave no descriptor'), async () => {
    await withParent(async (parent) => {
      const open = (): number => readdirSync('/proc/self/fd').length;
      const box = await createCgroup(parent, 'box', { memory: 24 * MB });
      const once = async (): Promise<void> => {
        const abort = new AbortController();
        const events = collect(box.events({ signal: abort.signal }), () => false);
        await sleep(2);
        abort.abort();
        expect(await events).toEqual([]);
      };
      await once();
      await settle();
      const before = open();
      for (let i = 0; i < 50; i += 1) await once();
      await settle();
      expect(open()).toBe(before);
      const events = collect(box.events(), () => false);
      await settle();
      await box.remove();
      expect(await events).toEqual([]);
    });
  });

  it.skipIf(!memory.ok)(memory.title('that cannot be told are refused by name, and left out otherwise'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      expect(() => box.events({ kinds: ['ooom' as 'oom'] })).toThrow('options.kinds[0]');
      if (box.directories['memory'] === box.directories['unified']) return;
      await expect(collect(box.events({ kinds: ['memory-high'] }), () => true)).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
    });
  });
});

describe('pressure', () => {
  const n = need('cgroup2:hugetlb', 'cgroup:cpu', 'pressure');
  it.skipIf(!n.ok)(
    n.title('on the CPU is told when a window has lost enough to it, and read as numbers'),
    { timeout: 60_000 },
    async () => {
      await withParent(async (parent) => {
        await using box = await createCgroup(parent, 'box', { cpus: 0.2 });
        const loops = [1, 2, 3].map(() => startWaiting('while :; do :; done'));
        for (const child of loops) await box.add(child.pid);
        const events = collect(box.pressure({ resource: 'cpu', stallMs: 200, windowMs: 2000 }), (all) => all.length === 2);
        await settle();
        for (const child of loops) child.go();
        const [first, second] = await events;
        expect(first?.resource).toBe('cpu');
        expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(1000);
        expect(second?.pressure?.some?.totalMs).toBeGreaterThan(200);
        const { pressure } = await box.stats({ only: ['pressure'] });
        expect(pressure?.cpu?.some?.totalMs).toBeGreaterThan(200);
        expect(pressure?.memory?.full?.avg10Percent).toBe(0);
      });
    },
  );

  it.skipIf(!n.ok)(n.title('triggers end with the cgroup, and with the signal'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box');
      const trigger = { resource: 'memory', stallMs: 500, windowMs: 2000 } as const;
      const abort = new AbortController();
      const aborted = collect(box.pressure({ ...trigger, signal: abort.signal }), () => false);
      const removed = collect(box.pressure({ ...trigger, kind: 'full' }), () => false);
      await settle();
      abort.abort();
      expect(await aborted).toEqual([]);
      // Another process removes it: nobody tells us but the kernel.
      const child = spawn('rmdir', [...new Set(Object.values(box.directories))]);
      await exitOf(child);
      expect(await removed).toEqual([]);
    });
  });

  const unified = need('cgroup2:hugetlb');
  it.skipIf(!unified.ok)(unified.title('triggers that are none are refused'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      const refused = (t: object, path: string): void => expect(() => box.pressure(t as never), path).toThrow(path);
      refused({ resource: 'disk', stallMs: 1, windowMs: 2000 }, 'trigger.resource');
      refused({ resource: 'io', stallMs: 3000, windowMs: 2000 }, 'trigger.stallMs');
      refused({ resource: 'io', stallMs: 1, windowMs: 100 }, 'trigger.windowMs');
      refused({ resource: 'io', stallMs: 1, windowMs: 2000, kind: 'most' }, 'trigger.kind');
      refused({ resource: 'io', stallMs: 1, windowMs: 2000, window: 1 }, 'trigger.window');
    });
  });
});

describe('watching', () => {
  const n = need('cgroup:cpu', 'cgroup:memory');
  it.skipIf(!n.ok)(n.title('gives readings with rates, until the cgroup is gone'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box', { cpus: 0.5 });
      const child = startWaiting('while :; do :; done');
      await box.add(child.pid);
      child.go();
      const some = await collect(box.watch({ interval: 200, only: ['cpu', 'memory'] }), (all) => all.length === 4);
      expect(some[0]).toMatchObject({ elapsedMs: 0, rates: { cpuPercent: null }, pids: null });
      expect(some[3]?.elapsedMs).toBeGreaterThan(150);
      expect(some[3]?.rates.cpuPercent).toBeGreaterThan(0);
      expect(some[3]?.rates.cpuPercent).toBeLessThan(120);
      const rest = collect(box.watch({ interval: 20 }), () => false);
      await sleep(100);
      await box.kill();
      await box.remove();
      expect((await rest).length).toBeGreaterThan(1);
      expect(() => box.watch({ interval: 1 })).toThrow('options.interval');
      expect(() => box.watch({ only: ['cpux' as 'cpu'] })).toThrow('options.only[0]');
    });
  });
});
