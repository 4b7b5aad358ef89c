// The described steps do on a real kernel what they say, run by hand in the launcher's order.
import { existsSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { describeCgroup, describeEnter, openCgroup, parseCollected } from '../src/index.js';
import { endChildren, exitOf, StepRunner, start, startWaiting, text, withParent } from './support.js';

afterEach(endChildren);

const MB = 1024 * 1024;

describe('a described cgroup', () => {
  const n = need('cgroup:memory', 'cgroup:pids');
  it.skipIf(!n.ok)(n.title('is made, limited, collected and removed by its steps'), async () => {
    await withParent(async (parent) => {
      const d = describeCgroup(parent, 'web', { memory: 24 * MB, pids: 9 });
      const runner = new StepRunner();
      runner.run(d.prepare);
      expect([...runner.slots.keys()]).toEqual(d.cloneInto ? [d.cloneInto] : []);
      runner.run(d.beside);
      expect(text(d.directories['pids'], 'pids.max')).toBe('9');
      const box = openCgroup(d.directories);
      const child = startWaiting('exec tail /dev/zero');
      await box.add(child.pid);
      child.go();
      expect((await exitOf(child)).signal).toBe('SIGKILL');
      runner.run(d.collect);
      const seen = parseCollected(runner.files, d.directories);
      expect(seen).toMatchObject({ oomKills: 1, pidsLimitHits: 0 });
      expect(seen.cpuUsageMs).toBeGreaterThan(0);
      runner.close();
      runner.run(d.cleanup);
      runner.run(d.cleanup);
      for (const dir of Object.values(d.directories)) expect(existsSync(dir), dir).toBe(false);
    });
  });

  const v1 = need('cgroup1:memory');
  it.skipIf(!v1.ok)(v1.title('v1: a process that writes 0 to tasks is inside every hierarchy'), async () => {
    await withParent(async (parent) => {
      const d = describeCgroup(parent, 'web', { devices: 'default' });
      const runner = new StepRunner();
      runner.run([...d.prepare, ...d.beside]);
      const enter = describeEnter(d.directories);
      expect(enter.setup).toEqual(d.setup.filter((s) => s.call === 'write'));
      const script = enter.setup.map((s) => `echo 0 > ${s.path}`).join(' && ');
      const child = startWaiting(`${script} && exec sleep 1000`);
      child.go();
      for (let i = 0; !text(`/proc/${child.pid}`, 'cmdline').startsWith('sleep') && i < 500; i += 1)
        await new Promise((r) => setTimeout(r, 10));
      for (const s of enter.setup) expect(text(s.path?.slice(0, -'/tasks'.length), 'cgroup.procs')).toBe(`${child.pid}`);
      child.kill('SIGKILL');
      await exitOf(child);
      runner.close();
      runner.run(d.cleanup);
    });
  });

  const kill = need('cgroup2:hugetlb');
  it.skipIf(!kill.ok)(kill.title('its kill steps end what is inside'), async () => {
    await withParent(async (parent) => {
      const d = describeCgroup(parent, 'web');
      const runner = new StepRunner();
      runner.run([...d.prepare, ...d.beside]);
      const child = start('sleep', ['1000']);
      await openCgroup(d.directories).add(child.pid);
      runner.run(d.kill);
      expect((await exitOf(child)).signal).toBe('SIGKILL');
      runner.close();
      await openCgroup(d.directories).remove();
    });
  });

  const any = need('cgroup:memory');
  it.skipIf(!any.ok)(any.title('costs no system call to describe: a parent that is gone describes all the same'), async () => {
    const parent = await withParent(async (p) => p);
    expect(parent.directories.some((d) => existsSync(d))).toBe(false);
    const { prepare, beside } = describeCgroup(parent, 'web', { memory: MB });
    expect(prepare.length + beside.length).toBeGreaterThan(0);
  });
});
