// Every limit that this host can enforce: set at birth, read back, changed, lifted.
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { canEnforce, createCgroup, DEFAULT_CONTROLLERS, openParent, type Resources } from '../src/index.js';
import { randomName } from './support.js';

const MB = 1024 * 1024;

interface Case {
  readonly set: Resources;
  readonly change: Resources;
  readonly lift?: Resources;
}

/** `lift` is what takes the limit away; left out where it cannot be taken away. */
const CASES: Readonly<Record<string, Case>> = {
  cpus: { set: { cpus: 0.5 }, change: { cpus: 1.25 }, lift: { cpus: null } },
  cpuPeriodUs: { set: { cpus: 0.5, cpuPeriodUs: 50_000 }, change: { cpus: 2, cpuPeriodUs: 20_000 }, lift: { cpus: null } },
  cpuBurstUs: { set: { cpus: 1, cpuBurstUs: 10_000 }, change: { cpus: 0.02, cpuBurstUs: 2000 }, lift: { cpuBurstUs: null } },
  cpuWeight: { set: { cpuWeight: 200 }, change: { cpuWeight: 50 }, lift: { cpuWeight: null } },
  cpuShares: { set: { cpuShares: 2048 }, change: { cpuShares: 512 }, lift: { cpuShares: null } },
  cpuIdle: { set: { cpuIdle: true }, change: { cpuIdle: true }, lift: { cpuIdle: false } },
  cpuUclampMin: { set: { cpuUclampMin: 10 }, change: { cpuUclampMin: 5 }, lift: { cpuUclampMin: null } },
  cpuUclampMax: { set: { cpuUclampMax: 50 }, change: { cpuUclampMax: 25 }, lift: { cpuUclampMax: null } },
  cpusetCpus: { set: { cpusetCpus: '0' }, change: { cpusetCpus: '0' }, lift: { cpusetCpus: null } },
  cpusetMems: { set: { cpusetMems: '0' }, change: { cpusetMems: '0' }, lift: { cpusetMems: null } },
  memory: { set: { memory: 64 * MB }, change: { memory: 32 * MB }, lift: { memory: null } },
  memorySwap: { set: { memory: 64 * MB, memorySwap: 8 * MB }, change: { memorySwap: MB }, lift: { memorySwap: null } },
  memoryReservation: { set: { memoryReservation: 8 * MB }, change: { memoryReservation: MB }, lift: { memoryReservation: null } },
  memoryHigh: { set: { memoryHigh: 32 * MB }, change: { memoryHigh: 16 * MB }, lift: { memoryHigh: null } },
  memoryMin: { set: { memoryMin: 8 * MB }, change: { memoryMin: MB }, lift: { memoryMin: null } },
  oomGroup: { set: { oomGroup: true }, change: { oomGroup: true }, lift: { oomGroup: false } },
  oomKillDisable: { set: { memory: 64 * MB, oomKillDisable: true }, change: { oomKillDisable: true }, lift: { oomKillDisable: false } },
  pids: { set: { pids: 10 }, change: { pids: 20 }, lift: { pids: null } },
  ioWeight: { set: { ioWeight: 200 }, change: { ioWeight: 50 }, lift: { ioWeight: null } },
  blkioWeight: { set: { blkioWeight: 200 }, change: { blkioWeight: 50 }, lift: { blkioWeight: null } },
  memorySwappiness: { set: { memorySwappiness: 10 }, change: { memorySwappiness: 20 } },
  hugetlb: { set: { hugetlb: { '2MB': 4 * MB } }, change: { hugetlb: { '2MB': 2 * MB } }, lift: { hugetlb: { '2MB': null } } },
};

const HIDDEN: Readonly<Record<string, string[]>> = {
  // v1 has shares and v2 a weight; what was set in the other words comes back in these.
  cpuWeight: ['cpuWeight', 'cpuShares'],
  cpuShares: ['cpuWeight', 'cpuShares'],
  ioWeight: ['ioWeight', 'blkioWeight'],
  blkioWeight: ['ioWeight', 'blkioWeight'],
};

describe('every limit', () => {
  const n = need('cgroup:memory');
  it.skipIf(!n.ok)(n.title('is set, read back, changed while in use, and lifted; or refused before anything is made'), async () => {
    const parent = await openParent(randomName(), { controllers: [...DEFAULT_CONTROLLERS, 'hugetlb'] });
    const seen: string[] = [];
    try {
      for (const [option, { set, change, lift }] of Object.entries(CASES)) {
        const able = canEnforce(parent, set);
        if (!able.ok) {
          await expect(createCgroup(parent, 'box', set), option).rejects.toMatchObject({ code: 'CTR_UNSUPPORTED' });
          continue;
        }
        seen.push(option);
        const keys = HIDDEN[option] ?? [option];
        const box = await createCgroup(parent, 'box', set);
        try {
          const before = (await box.limits()) as Record<string, unknown>;
          if (HIDDEN[option] === undefined) expect(before, option).toMatchObject(set);
          expect(
            keys.some((k) => before[k] !== undefined),
            `${option} in ${JSON.stringify(before)}`,
          ).toBe(true);
          await box.update(change);
          if (HIDDEN[option] === undefined) expect(await box.limits(), option).toMatchObject(change);
          if (lift === undefined) continue;
          await box.update(lift);
          const after = (await box.limits()) as Record<string, unknown>;
          // v1's cpuset has always a list: that of the cgroup above.
          if (!option.startsWith('cpuset'))
            expect(
              keys.filter((k) => after[k] !== undefined),
              option,
            ).toEqual([]);
        } finally {
          await box.remove();
        }
      }
    } finally {
      await parent.remove();
    }
    expect(seen).toEqual(expect.arrayContaining(['memory', 'memorySwap']));
  });

  const one = need('cgroup:memory', 'cgroup:pids');
  it.skipIf(!one.ok)(one.title('is lifted together with others, or none is'), async () => {
    const parent = await openParent(randomName());
    const box = await createCgroup(parent, 'box', { memory: 64 * MB, pids: 5 });
    try {
      await box.update({ memory: null, pids: null });
      expect(await box.limits()).not.toHaveProperty('memory');
      expect(await box.limits()).not.toHaveProperty('pids');
      expect((await box.stats()).memory?.limitBytes).toBeNull();
      // A limit that is lifted where there is none is no error.
      await box.update({ memory: null, memoryHigh: null, ioWeight: null });
    } finally {
      await box.remove();
      await parent.remove();
    }
  });

  const cpu = need('cgroup:cpu');
  it.skipIf(!cpu.ok)(cpu.title('cpus alone means the usual period, whatever it was before'), async () => {
    const parent = await openParent(randomName());
    const box = await createCgroup(parent, 'box', { cpus: 0.5, cpuPeriodUs: 50_000 });
    try {
      await box.update({ cpus: 0.25 });
      expect(await box.limits()).toMatchObject({ cpus: 0.25 });
      expect(await box.limits()).not.toHaveProperty('cpuPeriodUs');
    } finally {
      await box.remove();
      await parent.remove();
    }
  });

  it.skipIf(!one.ok)(one.title('below what is in use is refused beforehand when that is asked for'), async () => {
    const parent = await openParent(randomName());
    const box = await createCgroup(parent, 'box', { memory: 64 * MB });
    try {
      // Page cache and the like: a directory alone has some bytes on v1 only once something ran in it.
      const used = (await box.stats()).memory?.usageBytes ?? 0;
      const work = box.update({ memory: 4096 }, { checkBeforeUpdate: true });
      if (used > 4096) await expect(work).rejects.toMatchObject({ code: 'EBUSY' });
      else await work;
    } finally {
      await box.remove();
      await parent.remove();
    }
  });
});
