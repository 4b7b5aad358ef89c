// Handing cgroups over, threads, and removing what others made below.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { createCgroup, detectCgroups, openCgroup, openParent } from '../src/index.js';
import { endChildren, exitOf, randomName, start, startWaiting, text, withParent } from './support.js';

afterEach(endChildren);

const NOBODY = 65_534;

describe('a cgroup', () => {
  const root = need('root', 'cgroup:pids');
  it.skipIf(!root.ok)(root.title('that is delegated takes cgroups and processes of its new owner, and keeps its limits'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { pids: 50 });
      await box.delegate({ uid: NOBODY, gid: NOBODY });
      const dir = box.directories['pids'] as string;
      for (const f of ['', '/cgroup.procs']) expect(statSync(dir + f), f).toMatchObject({ uid: NOBODY, gid: NOBODY });
      expect(statSync(`${dir}/pids.max`).uid).toBe(0);
      const as = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups', 'sh', '-c'];
      execFileSync('setpriv', [...as, `mkdir ${dir}/inner`]);
      expect(() => execFileSync('setpriv', [...as, `echo 9 > ${dir}/pids.max`], { stdio: 'ignore' })).toThrow();
      expect(existsSync(`${dir}/inner`)).toBe(true);
      await box.remove();
      expect(existsSync(dir)).toBe(false);
      await expect(box.delegate({ uid: -1 })).rejects.toMatchObject({ path: 'options.uid' });
    });
  });

  const threads = need('cgroup:pids');
  it.skipIf(!threads.ok)(threads.title('knows the threads of its processes'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      const child = startWaiting(`exec "${process.execPath}" -e "console.log(1); setInterval(() => 0, 1e3)"`);
      await box.add(child.pid);
      child.go();
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      const all = await box.threads();
      expect(all).toContain(child.pid);
      expect(all.length).toBeGreaterThan(4);
      expect(await box.pids()).toEqual([child.pid]);
    });
  });

  const v2 = need('root', 'cgroup2:hugetlb');
  it.skipIf(!v2.ok)(v2.title('may be threaded on cgroup2: two threads of one process in two of them'), async () => {
    const parent = await openParent(randomName(), { controllers: ['cpu'] });
    const child = startWaiting(`exec "${process.execPath}" -e "console.log(1); setInterval(() => 0, 1e3)"`);
    const unified = parent.hierarchyOf('unified')?.directory;
    const whole = await createCgroup(parent, 'a');
    try {
      // On a hybrid host v1's cpu takes threads anyway: here it is about cgroup2.
      const a = openCgroup({ unified: whole.directories['unified'] as string });
      child.go();
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      await a.makeThreaded();
      expect(text(unified, 'cgroup.type')).toBe('domain threaded');
      // Its threads stay within one threaded subtree: the process enters at its root.
      writeFileSync(`${unified}/cgroup.procs`, `${child.pid}`);
      const tid = Number(readdirSync(`/proc/${child.pid}/task`).at(-1));
      await a.addThread(tid);
      expect(text(a.directories['unified'], 'cgroup.threads')).toBe(`${tid}`);
      expect(await a.threads()).toEqual([tid]);
    } finally {
      child.kill('SIGKILL');
      await exitOf(child);
      await whole.remove();
      await parent.remove();
    }
  });

  it.skipIf(!threads.ok)(threads.title('is removed with a tree below it whose last process is just dying'), async () => {
    await withParent(async (parent) => {
      for (let i = 0; i < 20; i += 1) {
        const box = await createCgroup(parent, 'box');
        const all = [...new Set(Object.values(box.directories))];
        for (const d of all) mkdirSync(`${d}/a/b/c`, { recursive: true });
        const child = start('sleep', ['1000']);
        await box.add(child.pid);
        child.kill('SIGKILL');
        await box.kill();
        await box.remove();
        for (const d of all) expect(existsSync(d), d).toBe(false);
        await exitOf(child);
      }
    });
  });

  const internal = need('cgroup2:memory');
  it.skipIf(!internal.ok)(internal.title('on v2 that gives controllers to its children takes no process, and says why'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      const { unified } = box.directories;
      mkdirSync(`${unified}/inner`);
      writeFileSync(`${unified}/cgroup.subtree_control`, '+memory');
      const child = start('sleep', ['1000']);
      await expect(box.add(child.pid)).rejects.toMatchObject({ code: 'EBUSY', hint: expect.stringContaining('child') });
    });
  });
});

describe('a program in a threaded subtree', () => {
  const n = need('root', 'cgroup2:hugetlb');
  it.skipIf(!n.ok)(n.title('has its parent made outside of it, where processes may be'), async () => {
    const outer = await openParent(randomName(), { controllers: [] });
    const own = (await detectCgroups()).unified?.directory as string;
    const unified = outer.hierarchyOf('unified')?.directory as string;
    const inner = await createCgroup(outer, 'threads');
    try {
      await inner.makeThreaded();
      writeFileSync(`${unified}/cgroup.procs`, `${process.pid}`);
      const host = await detectCgroups();
      expect(host.unified).toMatchObject({ directory: unified, writable: true });
      expect(host.unified?.parentDirectory).not.toContain(unified);
      const parent = await openParent(randomName());
      await using box = await createCgroup(parent, 'box');
      const child = start('sleep', ['1000']);
      await box.add(child.pid);
      expect(await box.pids()).toEqual([child.pid]);
      await box.kill();
      await box.remove();
      await parent.remove();
    } finally {
      writeFileSync(`${own}/cgroup.procs`, `${process.pid}`);
      await inner.remove();
      await outer.remove();
    }
  });
});
