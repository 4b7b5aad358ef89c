// A thousand cgroups later the host is as it was.
import { readdirSync, readFileSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { createCgroup } from '../src/index.js';
import { withParent } from './support.js';

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** num_cgroups of each hierarchy: counts cgroups that are removed but not released as well. */
const counted = (): string => readFileSync('/proc/cgroups', 'utf8');

describe('a thousand times', () => {
  const n = need('cgroup:memory', 'cgroup:pids');
  it.skipIf(!n.ok)(n.title('made and removed leave no directory and no descriptor'), { timeout: 300_000 }, async () => {
    await withParent(async (parent) => {
      await (await createCgroup(parent, 'warm-up', { memory: 1 << 26, pids: 5 })).remove();
      const before = descriptors();
      for (let i = 0; i < 1000; i += 1) {
        const box = await createCgroup(parent, `n${i}`, { memory: 1 << 26, pids: 5, cpus: 0.5 });
        if (i % 20 === 0) await box.stats();
        await box.remove();
      }
      expect(descriptors()).toBe(before);
      for (const h of parent.hierarchies) {
        const left = readdirSync(h.directory, { withFileTypes: true }).filter((e) => e.isDirectory() && e.name !== '_default-devices');
        expect(left, h.directory).toEqual([]);
      }
      expect(counted()).toContain('memory');
    });
  });

  it.skipIf(!n.ok)(n.title('watched for OOM leave no descriptor'), { timeout: 60_000 }, async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 1 << 26 });
      const once = async (): Promise<void> => {
        const abort = new AbortController();
        const events = box.oomEvents({ signal: abort.signal })[Symbol.asyncIterator]();
        const next = events.next();
        await new Promise((r) => setTimeout(r, 1));
        abort.abort();
        await next;
      };
      await once();
      await new Promise((r) => setTimeout(r, 20));
      const before = descriptors();
      for (let i = 0; i < 200; i += 1) await once();
      await new Promise((r) => setTimeout(r, 50));
      expect(descriptors()).toBe(before);
    });
  });
});
