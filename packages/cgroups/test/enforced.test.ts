// Limits that are felt: CPU time, block devices, device files, memory that is taken back.
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { fullRules } from '../src/controllers/device-rules.js';
import { DeviceProgram, replaceDeviceProgram } from '../src/device-programs.js';
import { type Cgroup, createCgroup, type DeviceRule, readIoCost, setIoCost } from '../src/index.js';
import { endChildren, exitOf, startWaiting, text, withParent } from './support.js';

afterEach(endChildren);

const MB = 1024 * 1024;

/** A file as a block device of its own. */
function attachLoop(): { device: string; detach(): void } {
  const file = `${makeTempDir('loop')}/disk`;
  writeFileSync(file, '');
  truncateSync(file, 64 * MB);
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  return { device, detach: () => void execFileSync('losetup', ['--detach', device]) };
}

host.define('loop devices', {
  test: () => {
    attachLoop().detach();
    return true;
  },
  cure: 'run as root with the loop module: modprobe loop',
});

host.define('device programs', {
  test: () => {
    new DeviceProgram(fullRules('default'))[Symbol.dispose]();
    return true;
  },
  cure: 'run as root on a kernel with CONFIG_CGROUP_BPF',
});

/** The cores used over that many periods of 100 ms in which it was held back: those in which it had all it was allowed. */
async function coresWhileThrottled(box: Cgroup, periods: number): Promise<number> {
  const read = async (): Promise<{ throttled: number; usageMs: number }> => {
    const { cpu } = await box.stats();
    return { throttled: cpu?.throttledPeriods ?? 0, usageMs: cpu?.usageMs ?? 0 };
  };
  const before = await read();
  let now = before;
  while (now.throttled < before.throttled + periods) {
    await sleep(20);
    now = await read();
  }
  return (now.usageMs - before.usageMs) / ((now.throttled - before.throttled) * 100);
}

describe('a CPU limit', () => {
  const n = need('cgroup:cpu');
  it.skipIf(!n.ok)(
    n.title('holds a busy loop to its quota, within ten per cent of each period'),
    async () => {
      await withParent(async (parent) => {
        await using box = await createCgroup(parent, 'box', { cpus: 0.2 });
        const child = startWaiting('while :; do :; done');
        await box.add(child.pid);
        child.go();
        await expect.poll(async () => (await box.stats()).cpu?.throttledPeriods, { timeout: 60_000 }).toBeGreaterThan(2);
        // A machine that stands still for a moment counts more periods than it gives time for: then it is measured again.
        let cores = 0;
        for (let i = 0; i < 10 && Math.abs(cores - 0.2) > 0.02; i += 1) cores = await coresWhileThrottled(box, 20);
        expect(cores).toBeGreaterThan(0.18);
        expect(cores).toBeLessThan(0.22);
      });
    },
    120_000,
  );
});

describe('a limit of a block device', () => {
  const either = need('root', 'loop devices', host.can('cgroup1:blkio') ? 'cgroup1:blkio' : 'cgroup2:io');
  it.skipIf(!either.ok)(either.title('holds a writer to its bytes per second'), async () => {
    const loop = attachLoop();
    try {
      await withParent(async (parent) => {
        await using box = await createCgroup(parent, 'box', { io: [{ device: loop.device, writeBps: 2 * MB }] });
        expect((await box.limits()).io).toEqual([{ device: expect.stringMatching(/^7:\d+$/), writeBps: 2 * MB }]);
        const child = startWaiting(`exec dd if=/dev/zero of=${loop.device} bs=256k count=16 oflag=direct 2>/dev/null`);
        await box.add(child.pid);
        const start = performance.now();
        child.go();
        expect((await exitOf(child)).code).toBe(0);
        // 4 MiB at 2 MiB/s; without the limit it takes some milliseconds.
        expect(performance.now() - start).toBeGreaterThan(1500);
        const { io } = await box.stats();
        expect(Object.values(io?.devices ?? {})[0]?.writeBytes).toBe(4 * MB);
        await box.update({ io: [{ device: loop.device, writeBps: null }] });
        expect((await box.limits()).io).toBeUndefined();
      });
    } finally {
      loop.detach();
    }
  });
});

describe('the four rates of a block device', () => {
  const either = need('root', 'loop devices', host.can('cgroup1:blkio') ? 'cgroup1:blkio' : 'cgroup2:io');
  it.skipIf(!either.ok)(either.title('are set together, changed one by one, read back and lifted'), async () => {
    const loop = attachLoop();
    try {
      await withParent(async (parent) => {
        const all = { readBps: 4 * MB, writeBps: 2 * MB, readIops: 400, writeIops: 200 };
        await using box = await createCgroup(parent, 'box', { io: [{ device: loop.device, ...all }] });
        const now = async (): Promise<unknown> => (await box.limits()).io;
        const device = expect.stringMatching(/^7:\d+$/);
        expect(await now()).toEqual([{ device, ...all }]);
        await box.update({ io: [{ device: loop.device, readIops: 50 }] });
        expect(await now()).toEqual([{ device, ...all, readIops: 50 }]);
        await box.update({ io: [{ device: loop.device, readBps: null, writeIops: null }] });
        expect(await now()).toEqual([{ device, writeBps: 2 * MB, readIops: 50 }]);
        await box.update({ io: [{ device: loop.device, writeBps: null, readIops: null }] });
        expect(await now()).toBeUndefined();
      });
    } finally {
      loop.detach();
    }
  });

  it.skipIf(!either.ok)(either.title('hold a reader to its operations per second'), async () => {
    const loop = attachLoop();
    try {
      await withParent(async (parent) => {
        await using box = await createCgroup(parent, 'box', { io: [{ device: loop.device, readIops: 20 }] });
        const child = startWaiting(`exec dd if=${loop.device} of=/dev/null bs=4k count=40 iflag=direct 2>/dev/null`);
        await box.add(child.pid);
        const start = performance.now();
        child.go();
        expect((await exitOf(child)).code).toBe(0);
        // 40 operations at 20 a second; without the limit it takes a millisecond.
        expect(performance.now() - start).toBeGreaterThan(1500);
      });
    } finally {
      loop.detach();
    }
  });
});

describe('the cost model of a block device', () => {
  const n = need('root', 'loop devices');
  it.skipIf(!n.ok)(n.title('is set and read back, or refused where there is none'), async () => {
    const loop = attachLoop();
    try {
      await expect(setIoCost(loop.device, { enabled: true, rlat: 1 } as never)).rejects.toMatchObject({ path: 'cost.rlat' });
      await expect(setIoCost('/dev/null', { enabled: true })).rejects.toMatchObject({ path: 'device' });
      const all = await readIoCost().catch((error: { code: string }) => error.code);
      if (typeof all === 'string') return expect(all).toBe('CTR_UNSUPPORTED');
      await setIoCost(loop.device, { enabled: true, readPercentile: 95, readLatencyUs: 10_000 });
      const [cost] = Object.values(await readIoCost());
      expect(cost).toMatchObject({ enabled: true, readPercentile: 95, readLatencyUs: 10_000 });
      await setIoCost(loop.device, { enabled: false });
      expect(Object.values(await readIoCost())[0]).toMatchObject({ enabled: false });
    } finally {
      loop.detach();
    }
  });
});

/** Exit status 0 when the shell could do it inside. */
const tries = async (script: string, enter: (pid: number) => Promise<void>): Promise<boolean> => {
  const child = startWaiting(`(${script}) 2>/dev/null`);
  await enter(child.pid);
  child.go();
  return (await exitOf(child)).code === 0;
};

describe('device rules', () => {
  const rules: DeviceRule[] = [
    { allow: true, type: 'c', major: 1, minor: 3 },
    { allow: true, type: 'c', major: 1, minor: 5, access: 'r' },
  ];

  const any = need('root', host.can('cgroup1:devices') ? 'cgroup1:devices' : 'device programs');
  it.skipIf(!any.ok)(any.title('of one’s own: what none allows is refused'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { devices: rules });
      const enter = (pid: number): Promise<void> => box.add(pid);
      expect(await tries('cat </dev/null', enter)).toBe(true);
      expect(await tries('head -c 1 /dev/zero >/dev/null', enter)).toBe(true);
      expect(await tries('echo >/dev/zero', enter)).toBe(false);
      expect(await tries('head -c 1 /dev/urandom >/dev/null', enter)).toBe(false);
    });
  });

  const bpf = need('root', 'device programs', 'cgroup2:hugetlb');
  it.skipIf(!bpf.ok)(bpf.title('on cgroup2 are a program, which is replaced in use, and gone with the cgroup'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      const { unified } = box.directories;
      const enter = (pid: number): Promise<void> => box.add(pid);
      const can = (): Promise<boolean> => tries('head -c 1 /dev/urandom >/dev/null', enter);
      expect(await can()).toBe(true);
      replaceDeviceProgram(unified, fullRules([{ allow: true, type: 'c', major: 1, minor: 3 }]));
      expect(await can()).toBe(false);
      // What can be taken out of a wildcard is v2's alone.
      replaceDeviceProgram(unified, fullRules([{ allow: true }, { allow: false, type: 'c', major: 1, minor: 7, access: 'r' }]));
      expect(await can()).toBe(true);
      expect(await tries('head -c 1 /dev/full >/dev/null', enter)).toBe(false);
      replaceDeviceProgram(unified, null);
      expect(await tries('head -c 1 /dev/full >/dev/null', enter)).toBe(true);
    });
  });

  const v2 = need('root', 'device programs', 'cgroup2:memory', 'cgroup2:pids');
  it.skipIf(!v2.ok)(v2.title('by default are prepared once on v2, and can be changed'), async () => {
    await withParent(async (parent) => {
      expect(parent.hierarchies.at(-1)?.defaultDevices).toMatch(/_default-devices$/);
      await using box = await createCgroup(parent, 'box', { devices: 'default', memory: 64 * MB });
      const enter = (pid: number): Promise<void> => box.add(pid);
      expect(await tries('cat </dev/null && head -c 1 /dev/urandom >/dev/null', enter)).toBe(true);
      // 1:11 is /dev/kmsg: made, but not opened.
      expect(await tries('d=$(mktemp -d); mknod $d/n c 1 11 && ! head -c 1 $d/n >/dev/null; s=$?; rm -r $d; exit $s', enter)).toBe(true);
      await using own = await createCgroup(parent, 'own');
      await own.update({ devices: [{ allow: true, type: 'c', major: 1, minor: 3 }] });
      expect(await tries('head -c 1 /dev/urandom >/dev/null', (pid) => own.add(pid))).toBe(false);
      await own.update({ devices: 'all' });
      expect(await tries('head -c 1 /dev/urandom >/dev/null', (pid) => own.add(pid))).toBe(true);
    });
  });
});

describe('memory', () => {
  const n = need('cgroup2:memory');
  it.skipIf(!n.ok)(n.title('is taken back by reclaim()'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { memory: 256 * MB });
      const file = `${makeTempDir('cache')}/f`;
      const child = startWaiting(`head -c 40000000 /dev/zero > ${file}; sync ${file}; echo written; sleep 1000`);
      await box.add(child.pid);
      child.go();
      await once(child.stdout as Readable, 'data');
      const before = (await box.stats()).memory?.usageBytes ?? 0;
      // A temporary directory in memory gives nothing back without swap: the kernel says so.
      const refused = await box.reclaim(4 * MB).then(
        () => null,
        (error: { code: string }) => error.code,
      );
      if (refused === null) expect((await box.stats()).memory?.usageBytes).toBeLessThan(before);
      else expect(refused).toBe('EAGAIN');
      rmSync(file);
    });
  });

  const v1 = need('cgroup1:memory');
  it.skipIf(!v1.ok)(v1.title('is not, on v1, which says so'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box');
      await expect(box.reclaim(4096)).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
      await expect(box.reclaim(1)).rejects.toMatchObject({ path: 'bytes' });
    });
  });
});

describe('a limit in two words', () => {
  const n = need('cgroup:cpu');
  it.skipIf(!n.ok)(n.title('is written in the host’s own numbers'), async () => {
    await withParent(async (parent) => {
      await using box = await createCgroup(parent, 'box', { cpuShares: 512 });
      const v2 = box.directories['cpu'] === box.directories['unified'];
      expect(text(box.directories['cpu'], v2 ? 'cpu.weight' : 'cpu.shares')).toBe(v2 ? '59' : '512');
    });
  });
});
