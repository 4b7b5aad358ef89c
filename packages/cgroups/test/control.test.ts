// Members, freezing, killing and removing, on cgroup2 and on v1 alone.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { type Cgroup, createCgroup, openCgroup } from '../src/index.js';
import type { CgroupParent } from '../src/parent/parent.js';
import { endChildren, exitOf, start, startWaiting, withParent } from './support.js';

afterEach(endChildren);

/** The same cgroup without its cgroup2 directory: what a host without cgroup2 offers. */
const v1Only = (box: Cgroup): Cgroup =>
  openCgroup(Object.fromEntries(Object.entries(box.directories).filter(([c, d]) => c !== 'unified' && d !== box.directories['unified'])));

const KINDS = [
  { kind: 'cgroup2', needs: need('cgroup2:hugetlb'), of: (box: Cgroup) => box },
  { kind: 'v1 alone', needs: need('cgroup1:freezer'), of: v1Only },
];

const inBox = (work: (box: Cgroup, parent: CgroupParent) => Promise<void>, of: (box: Cgroup) => Cgroup) =>
  withParent(async (parent) => {
    const box = await createCgroup(parent, 'box');
    try {
      await work(of(box), parent);
    } finally {
      await box[Symbol.asyncDispose]();
    }
  });

/** Centiseconds of CPU time that a process has used, by proc_pid_stat(5). */
const cpuTime = (pid: number): number => {
  const f = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
  return Number(f[11]) + Number(f[12]);
};

describe.each(KINDS)('$kind', ({ needs, of }) => {
  it.skipIf(!needs.ok)(needs.title('knows its members, those of nested cgroups too'), async () => {
    await inBox(async (box) => {
      expect(await box.pids()).toEqual([]);
      const child = start('sleep', ['1000']);
      await box.add(child.pid);
      expect(await box.pids()).toEqual([child.pid]);
      const dir = box.directories['unified'] ?? Object.values(box.directories)[0];
      mkdirSync(`${dir}/nested`);
      expect(await box.pids()).toEqual([child.pid]);
      child.kill('SIGKILL');
      await exitOf(child);
      expect(await box.pids()).toEqual([]);
    }, of);
  });

  it.skipIf(!needs.ok)(needs.title('a frozen process does nothing until it is thawed'), async () => {
    await inBox(async (box) => {
      const child = startWaiting('while :; do :; done');
      await box.add(child.pid);
      child.go();
      await sleep(50);
      await box.freeze();
      const before = cpuTime(child.pid);
      await sleep(200);
      expect(cpuTime(child.pid)).toBe(before);
      await box.freeze();
      await box.thaw();
      for (let i = 0; cpuTime(child.pid) === before && i < 200; i += 1) await sleep(20);
      expect(cpuTime(child.pid)).toBeGreaterThan(before);
    }, of);
  });

  it.skipIf(!needs.ok)(needs.title('kills a tree that forks without end, and a frozen one'), async () => {
    await inBox(async (box) => {
      // Each generation starts the next and ends: a list of pids is old before it is used.
      const child = startWaiting('f() { sleep 0.01; f & }; f; f; f; wait; sleep 1000');
      await box.add(child.pid);
      child.go();
      await sleep(200);
      await box.kill();
      expect(await box.pids()).toEqual([]);
      expect(await exitOf(child)).toEqual({ code: null, signal: 'SIGKILL' });

      const frozen = start('sleep', ['1000']);
      await box.add(frozen.pid);
      await box.freeze();
      await box.kill();
      expect(await exitOf(frozen)).toEqual({ code: null, signal: 'SIGKILL' });
      await box.kill();
    }, of);
  });
});

describe('the end of a cgroup', () => {
  const n = need('cgroup:pids');
  it.skipIf(!n.ok)(n.title('with this process in it is neither frozen nor killed'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box');
      const pids = box.directories['pids'] as string;
      const own = parent.host.controllers['pids']?.directory as string;
      await writeFile(`${pids}/cgroup.procs`, `${process.pid}`);
      try {
        for (const work of [box.kill(), box.freeze()])
          await expect(work).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: 'cgroup' });
      } finally {
        await writeFile(`${own}/cgroup.procs`, `${process.pid}`);
      }
      await box.remove();
    });
  });

  it.skipIf(!n.ok)(n.title('with processes in it is refused, and nothing is killed'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box');
      const child = start('sleep', ['1000']);
      await box.add(child.pid);
      await expect(box.remove()).rejects.toMatchObject({
        code: 'CTR_CLEANUP_FAILED',
        message: expect.stringContaining('kill() ends them'),
      });
      expect(child.exitCode).toBeNull();
      child.kill('SIGKILL');
      await exitOf(child);
      await box.remove();
      for (const d of Object.values(box.directories)) expect(existsSync(d), d).toBe(false);
    });
  });

  it.skipIf(!n.ok)(n.title('comes for nested cgroups too, and a second time does nothing'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'box');
      for (const d of new Set(Object.values(box.directories))) mkdirSync(`${d}/a/b`, { recursive: true });
      await box.remove();
      await box.remove();
      await expect(box.stats()).rejects.toMatchObject({ code: 'ENOENT', syscall: 'open' });
      await box[Symbol.asyncDispose]();
    });
  });

  it.skipIf(!n.ok)(n.title('says what went wrong with a process that is none'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      await expect(box.add(0)).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT' });
      await expect(box.add(2 ** 22 - 1)).rejects.toMatchObject({ code: 'ESRCH', syscall: 'write' });
      expect(() => openCgroup({ memory: 'relative' })).toThrow('directories.memory');
      expect(() => openCgroup({ memory: '/a/../b' })).toThrow('directories.memory');
    });
  });
});
