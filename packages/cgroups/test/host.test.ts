// The host as it is: what is found is true, also for a user who may write nothing.
import { existsSync, readFileSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { canEnforce, createCgroup, describeCgroup, detectCgroups, openParent, parentDirectories } from '../src/index.js';
import { randomName } from './support.js';

describe('this host', () => {
  const linux = need('linux');
  it.skipIf(!linux.ok)(linux.title('has its own cgroups where it says: this process is in them'), async () => {
    const host = await detectCgroups();
    const directories = [...new Set(Object.values(host.controllers).flatMap((c) => c.directory ?? []))];
    for (const d of directories) expect(readFileSync(`${d}/cgroup.procs`, 'utf8').split('\n'), d).toContain(`${process.pid}`);
    for (const c of Object.values(host.controllers)) expect(c.writable).toBe(c.reason === undefined);
  });

  it.skipIf(!linux.ok)(linux.title('is where parentDirectories() says a parent will be'), async () => {
    const name = randomName();
    const expected = parentDirectories(await detectCgroups(), name);
    const parent = await openParent(name);
    // v2's device rules are a directory that is made only where a program may be loaded.
    const made = expected.filter((d) => existsSync(d) || !d.endsWith('/_default-devices'));
    expect([...parent.directories].sort()).toEqual([...made].sort());
    await parent.remove();
  });

  const user = need('linux', 'ordinary-user');
  it.skipIf(!user.ok)(user.title('an ordinary user without delegation gets no cgroups, no failure and the reasons'), async () => {
    const host = await detectCgroups();
    const some = Object.values(host.controllers).some((c) => c.writable) || host.unified?.writable === true;
    const parent = await openParent(randomName());
    expect(parent.usable).toBe(some);
    if (!some) {
      expect(parent.directories).toEqual([]);
      expect(describeCgroup(parent, 'web')).toMatchObject({ prepare: [], beside: [] });
      for (const [c, place] of Object.entries(host.controllers))
        expect(parent.missing[c] ?? place.reason).toMatch(/not writable|read-only|not mounted|gives its children/);
      const { ok, missing } = canEnforce(parent, { memory: 1 << 26 });
      expect(ok).toBe(false);
      expect(missing[0]?.hint).toBeDefined();
      await expect(createCgroup(parent, 'web', { memory: 1 << 26 })).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
    }
    await parent.remove();
  });

  const root = need('cgroup:memory');
  it.skipIf(!root.ok)(root.title('is not changed by what is refused'), async () => {
    const name = randomName();
    const parent = await openParent(name, { controllers: ['memory'] });
    expect(() => describeCgroup(parent, 'web', { pids: 5 })).toThrow('pids');
    await expect(createCgroup(parent, 'web', { memory: 1 << 26, pids: 5 })).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
    for (const d of parent.directories) expect(existsSync(`${d}/web`)).toBe(false);
    await parent.remove();
  });
});
