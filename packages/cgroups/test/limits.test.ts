// Each limit is written, read back from the kernel and, where that is quick, felt by a process.
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { canEnforce, createCgroup, openParent } from '../src/index.js';
import { endChildren, exitOf, randomName, startWaiting, text, withParent } from './support.js';

afterEach(endChildren);

const MB = 1024 * 1024;

describe('a parent', () => {
  const n = need('cgroup:memory');
  it.skipIf(!n.ok)(n.title('is made in every hierarchy that may be written, once, and removed without a trace'), async () => {
    const name = randomName();
    const parent = await openParent(name);
    const again = await openParent(name);
    expect(parent.usable).toBe(true);
    expect(again.directories).toEqual(parent.directories);
    for (const d of parent.directories) expect(existsSync(d), d).toBe(true);
    expect(canEnforce(parent, { memory: 64 * MB }).ok).toBe(true);
    await parent.remove();
    for (const d of parent.directories) expect(existsSync(d), d).toBe(false);
    await again.remove();
  });

  it.skipIf(!n.ok)(n.title('that holds a cgroup is not removed, and says which'), async () => {
    await withParent(async (parent) => {
      const box = await createCgroup(parent, 'inner');
      await expect(parent.remove()).rejects.toMatchObject({ code: 'CTR_CLEANUP_FAILED', message: expect.stringContaining('inner') });
      await box.remove();
      // What could be removed was removed: the parent is opened anew by its name.
      await (await openParent(parent.name)).remove();
    });
  });

  it('refuses names and options that are none', async () => {
    await expect(openParent('../x')).rejects.toMatchObject({ code: 'CTR_INVALID_ARGUMENT', path: 'name' });
    await expect(openParent('x', { moveself: true } as object)).rejects.toMatchObject({ path: 'options.moveself' });
    await expect(openParent('x', { controllers: 'memory' as never })).rejects.toMatchObject({ path: 'options.controllers' });
  });
});

describe('limits', () => {
  const memory = need('cgroup:memory');
  it.skipIf(!memory.ok)(memory.title('memory is what the kernel says it is, with no swap on top'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 64 * MB, memoryReservation: 32 * MB });
      const stats = await box.stats();
      expect(stats.memory).toMatchObject({ limitBytes: 64 * MB, oomKills: 0 });
      const dir = box.directories['memory'];
      const v2 = dir === box.directories['unified'];
      expect(text(dir, v2 ? 'memory.low' : 'memory.soft_limit_in_bytes')).toBe(`${32 * MB}`);
      const swap = v2 ? 'memory.swap.max' : 'memory.memsw.limit_in_bytes';
      if (existsSync(`${dir}/${swap}`)) expect(text(dir, swap)).toBe(v2 ? '0' : `${64 * MB}`);
    });
  });

  it.skipIf(!memory.ok)(memory.title('memory can be changed while in use, up and down, and the swap that was allowed stays'), async () => {
    await withParent(async (parent) => {
      const swap = canEnforce(parent, { memory: 64 * MB, memorySwap: MB }).ok ? { memorySwap: MB } : {};
      await using box = await createCgroup(parent, 'box', { memory: 64 * MB, ...swap });
      const dir = box.directories['memory'];
      for (const size of [256 * MB, 32 * MB, 512 * MB]) {
        await box.update({ memory: size });
        expect((await box.stats()).memory?.limitBytes).toBe(size);
        if (existsSync(`${dir}/memory.memsw.limit_in_bytes`))
          expect(text(dir, 'memory.memsw.limit_in_bytes')).toBe(`${size + (swap.memorySwap ?? 0)}`);
        if (existsSync(`${dir}/memory.swap.max`)) expect(text(dir, 'memory.swap.max')).toBe(`${swap.memorySwap ?? 0}`);
      }
    });
  });

  it.skipIf(!memory.ok)(memory.title('an update with a bad value changes nothing'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 64 * MB, pids: 5 });
      if (box.directories['devices'] !== undefined)
        await expect(box.update({ memory: 128 * MB, devices: 'all' })).rejects.toMatchObject({ path: 'resources.devices' });
      await expect(box.update({ pids: 7, cpusetCpus: '4000' })).rejects.toMatchObject({ name: expect.stringMatching(/Error/) });
      await expect(box.update({ pids: 7, memory: 1 })).rejects.toMatchObject({ path: 'resources.memory' });
      expect((await box.stats()).pids?.limit).toBe(5);
      expect((await box.stats()).memory?.limitBytes).toBe(64 * MB);
    });
  });

  // v2 kills instead of refusing.
  const refusing = need('cgroup1:memory', 'cgroup1:cpu');
  it.skipIf(!refusing.ok)(refusing.title('an update that the kernel refuses halfway is undone'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 64 * MB, cpus: 1.5 });
      const child = startWaiting(
        `exec "${process.execPath}" -e "globalThis.b = Buffer.alloc(20e6, 1); console.log(1); setInterval(() => b, 1e3)"`,
      );
      await box.add(child.pid);
      child.go();
      await once(child.stdout as Readable, 'data');
      await expect(box.update({ cpus: 0.5, memory: 4096 })).rejects.toMatchObject({
        code: 'EBUSY',
        hint: expect.stringContaining('uses more'),
      });
      expect(await box.stats()).toMatchObject({ cpu: { limitCpus: 1.5 }, memory: { limitBytes: 64 * MB } });
    });
  });

  const pids = need('cgroup:pids');
  it.skipIf(!pids.ok)(pids.title('pids stops a shell from forking, and counts it'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { pids: 1 });
      const child = startWaiting('sleep 0 2>/dev/null; exit 3');
      await box.add(child.pid);
      child.go();
      // dash: "Cannot fork", exit status 2.
      expect((await exitOf(child)).code).toBe(2);
      expect((await box.stats()).pids).toMatchObject({ limit: 1, limitHits: expect.any(Number) });
      expect((await box.stats()).pids?.limitHits).toBeGreaterThan(0);
    });
  });

  const cpu = need('cgroup:cpu');
  it.skipIf(!cpu.ok)(cpu.title('cpus and weight are what the kernel says they are, and the limit holds a busy loop back'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { cpus: 0.1, cpuWeight: 50 });
      const dir = box.directories['cpu'];
      const v2 = dir === box.directories['unified'];
      expect(text(dir, v2 ? 'cpu.weight' : 'cpu.shares')).toBe(v2 ? '50' : '512');
      const child = startWaiting('while :; do :; done');
      await box.add(child.pid);
      child.go();
      for (let waited = 0; ((await box.stats()).cpu?.throttledPeriods ?? 0) < 3 && waited < 300; waited += 1)
        await new Promise((r) => setTimeout(r, 20));
      const stats = await box.stats();
      expect(stats.cpu?.limitCpus).toBe(0.1);
      expect(stats.cpu?.throttledPeriods).toBeGreaterThanOrEqual(3);
      expect(stats.cpu?.throttledMs).toBeGreaterThan(0);
      expect(stats.cpu?.usageMs).toBeGreaterThan(0);
      await box.update({ cpus: 2 });
      expect((await box.stats()).cpu?.limitCpus).toBe(2);
    });
  });

  const cpuset = need('cgroup:cpuset');
  it.skipIf(!cpuset.ok)(cpuset.title('cpuset: a child has its parent’s CPUs, or those that were named'), async () => {
    await withParent(async (parent) => {
      await using all = await createCgroup(parent, 'all');
      await using one = await createCgroup(parent, 'one', { cpusetCpus: '0', cpusetMems: '0' });
      const whole = (await all.stats()).cpuset;
      expect(whole?.cpus).not.toBe('');
      expect((await one.stats()).cpuset).toEqual({ cpus: '0', mems: '0' });
      // taskset(1) asks sched_getaffinity(2).
      const child = startWaiting('taskset -cp $$');
      await one.add(child.pid);
      let output = '';
      child.stdout?.on('data', (d) => (output += d));
      const closed = once(child, 'close');
      child.go();
      await closed;
      expect(child.exitCode).toBe(0);
      expect(output).toMatch(/: 0\n$/);
      await expect(createCgroup(parent, 'far', { cpusetCpus: '0,4000' })).rejects.toMatchObject({ path: 'resources.cpusetCpus' });
    });
  });

  const devices = need('root', 'cgroup1:devices');
  it.skipIf(!devices.ok)(devices.title('devices: null may be opened, others may be made but not opened'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { devices: 'default' });
      expect(text(box.directories['devices'], 'devices.list').split('\n')).toContain('c 1:3 rwm');
      expect(text(box.directories['devices'], 'devices.list')).not.toContain('a *:*');
      // 1:11 is /dev/kmsg.
      const child = startWaiting(
        'd=$(mktemp -d); mknod $d/kmsg c 1 11 && cat /dev/null && ! cat $d/kmsg 2>/dev/null; s=$?; rm -r $d; exit $s',
      );
      await box.add(child.pid);
      child.go();
      expect((await exitOf(child)).code).toBe(0);
    });
  });

  const raw = need('cgroup2:memory');
  it.skipIf(!raw.ok)(raw.title('v2 files by name, memory.high and oom.group'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memoryHigh: 32 * MB, oomGroup: true, unified: { 'memory.min': `${MB}` } });
      const dir = box.directories['memory'];
      expect([text(dir, 'memory.high'), text(dir, 'memory.oom.group'), text(dir, 'memory.min')]).toEqual([`${32 * MB}`, '1', `${MB}`]);
    });
  });
});

describe('making', () => {
  const n = need('cgroup:pids');
  it.skipIf(!n.ok)(n.title('refuses a name that is taken, and leaves the other cgroup alone'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { pids: 5 });
      await expect(createCgroup(parent, 'box', { pids: 7 })).rejects.toMatchObject({
        code: 'EEXIST',
        syscall: 'mkdir',
        hint: 'names are unique below a parent',
      });
      expect((await box.stats()).pids?.limit).toBe(5);
    });
  });

  it.skipIf(!n.ok)(n.title('leaves nothing when the kernel refuses a limit'), async () => {
    await withParent(async (parent) => {
      const cpus = canEnforce(parent, { cpusetCpus: '0' }).ok;
      if (cpus) Object.defineProperty(parent, 'cpus', { value: null });
      await expect(createCgroup(parent, 'box', cpus ? { cpusetCpus: '4000' } : { memory: -1 })).rejects.toThrow();
      for (const h of parent.hierarchies) expect(existsSync(`${h.directory}/box`), h.directory).toBe(false);
    });
  });
});
