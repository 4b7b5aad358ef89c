// Malicious processes that hold on to their streams, leave children behind, or end while others come in (CVE-2019-14271's kin).
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants, processes } from '@ctr/internal/testing';
import { runContainer } from '@ctr/runtime';
import { beforeAll, describe, expect, it } from 'vitest';
import { base, cleanly, firstWords, inside, patience, rootfs, rounds, SOON, WAYS } from './fixtures/hostile.js';

beforeAll(async () => {
  if (base.ok) await rootfs();
});

describe.skipIf(!base.ok).each(WAYS)(base.title('the streams of $way'), ({ options }) => {
  it('C-34 closed early, the program runs on, and its end is told', async () => {
    const r = await cleanly(() => inside('exec >&- 2>&-; sleep 0.3; exit 5', options));
    expect([r.exitCode, r.stdout]).toEqual([5, '']);
  });

  it('C-34 held open by a grandchild, they end with the container', async () => {
    const r = await cleanly(() => inside('(setsid sh -c "sleep 1; echo late" &) ; echo early; exit 0', options));
    expect([r.exitCode, r.stdout]).toEqual([0, 'early\n']);
  });

  it('C-34 of exec, held open by a daemon, do not hold up its end', async () => {
    await cleanly(async () => {
      await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
      for (let i = 0; i < rounds(1); i++) {
        const r = await box.exec(['/bin/sh', '-c', 'setsid sh -c "while :; do echo more; sleep 0.2; done" & echo first; exit 4']).result();
        expect(r.exitCode).toBe(4);
        expect(r.stdout).toMatch(/^(more\n)*first\n/);
      }
      expect(box.exitStatus).toBeUndefined();
    });
  });

  it('C-34 flooded, they stop the program and not Node; a reader that is away costs nothing', async () => {
    await cleanly(async () => {
      await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sh', '-c', 'yes | head -c 100000000'], ...options });
      const before = process.memoryUsage().rss;
      await sleep(300);
      expect(process.memoryUsage().rss - before).toBeLessThan(50 << 20);
      expect(box.exitStatus).toBeUndefined();
    });
    const flood = inside('yes', { ...options, maxBuffer: 100_000 });
    await expect(cleanly(() => flood.catch((e: Error) => Promise.resolve(e.name)))).resolves.toBe('MaxBufferError');
  });

  it(
    'C-35 orphans and zombies by the thousand are gone with the first process, also when it never waits',
    async () => {
      const script = 'trap "" CHLD; i=0; while [ $i -lt 300 ]; do (true &) ; (sleep 100 & ) ; i=$((i+1)); done 2>/dev/null; exit 6';
      const r = await cleanly(() => inside(script, { ...options, timeout: '60s' }));
      expect(r.exitCode).toBe(6);
      expect(processes().filter((p) => p.ppid === process.pid && p.state === 'Z')).toEqual([]);
      expect(descendants(process.pid).filter((p) => p.state === 'Z')).toEqual([]);
    },
    patience(90_000),
  );

  it('C-35 the orphans of exec are the container’s, and reaped with it', async () => {
    await cleanly(async () => {
      await using box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
      for (let i = 0; i < 3; i++)
        await box.exec(['/bin/sh', '-c', 'for i in 1 2 3 4 5; do (true &); (sleep 100 &) ; done <&- >&- 2>&-']).result();
      // sleep, the first process, never waits: the zombies are its own, and nobody's of ours.
      expect(
        processes().filter((p) => p.state === 'Z' && p.ppid !== box.pid && descendants(process.pid).some((d) => d.pid === p.pid)),
      ).toEqual([]);
    });
  });
});

describe.skipIf(!base.ok).each(WAYS)(base.title('exec into a container of $way'), ({ options }) => {
  it(
    'F-31 that is dying runs, or says by name that it cannot',
    async () => {
      const allowed = /^(exit 0|killed|StartError|SyscallError)$/;
      const seen = new Map<string, number>();
      await cleanly(async () => {
        for (let i = 0; i < rounds(30); i++) {
          const box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
          const execs = [1, 2, 3].map(() =>
            box
              .exec(['/inside/true'])
              .result()
              .then(
                (r) => (r.exitCode === 0 ? 'exit 0' : 'killed'),
                (e: Error) => e.name,
              ),
          );
          // At once, a few milliseconds later, and when the first of them has run.
          if (i % 3 === 1) await sleep((i % 9) / 2);
          if (i % 3 === 2) await Promise.race(execs);
          await box[Symbol.asyncDispose]();
          for (const e of await Promise.all(execs)) seen.set(e, (seen.get(e) ?? 0) + 1);
        }
      });
      expect([...seen.keys()].filter((k) => !allowed.test(k))).toEqual([]);
      expect(seen.get('exit 0')).toBeGreaterThan(0);
    },
    patience(90_000),
  );

  it(
    'F-31 a hundred at once while it ends',
    async () => {
      await cleanly(async () => {
        const box = await runContainer({ rootfs: await rootfs(), command: ['/bin/sleep', '600'], ...options });
        const execs = Array.from({ length: 100 }, () =>
          box
            .exec(['/inside/true'])
            .result()
            .then(
              () => 'ran',
              (e: Error) => e.name,
            ),
        );
        await sleep(30);
        await box[Symbol.asyncDispose]();
        expect((await Promise.all(execs)).filter((e) => !['ran', 'StartError', 'SyscallError'].includes(e))).toEqual([]);
      });
    },
    patience(120_000),
  );

  it(
    'F-31 C-20 whose root stops every process of the launcher beside it: no other container waits for those',
    async () => {
      const loop =
        'while :; do for p in /proc/[0-9]*; do read -r n < $p/comm && case $n in ctr*) kill -STOP $(basename $p);; esac; done 2>/dev/null; done';
      await cleanly(async () => {
        const hostile = await runContainer({
          rootfs: await rootfs(),
          command: ['/bin/sh', '-c', `(${loop}) & (${loop}) & echo ready; ${loop}`],
          ...options,
        });
        await firstWords(hostile);
        const seen = new Map<string, number>();
        const note = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1);
        const execs: Promise<void>[] = [];
        // In batches of more than the monitor starts at once, until one was stopped on its way. Those whose stop arrives after their
        // start are the container's own affair.
        for (const end = performance.now() + SOON; !seen.has('StartError') && performance.now() < end; ) {
          const batch = Array.from({ length: 40 }, () =>
            hostile
              .exec(['/inside/true'])
              .result()
              .then(
                (r) => note(r.exitCode === 0 ? 'ran' : 'killed'),
                (e: Error) => note(e.name),
              ),
          );
          execs.push(...batch);
          const late = Symbol('another container waits');
          expect(await Promise.race([inside('echo another', options).then((r) => r.stdout), sleep(SOON, late)])).toBe('another\n');
          await Promise.race([Promise.all(batch), sleep(300)]);
        }
        // All that is left ends with the container.
        await hostile[Symbol.asyncDispose]();
        await Promise.all(execs);
        expect([...seen.keys()].filter((k) => !['ran', 'killed', 'StartError', 'SyscallError'].includes(k))).toEqual([]);
        // Else nothing was tried.
        expect(seen.get('StartError')).toBeGreaterThan(0);
      });
    },
    patience(120_000),
  );

  it('F-31 whose first process is gone is refused at once', async () => {
    const box = await runContainer({ rootfs: await rootfs(), command: ['/bin/true'], ...options });
    await box.exited;
    await expect(cleanly(() => box.exec(['/bin/true']).result())).rejects.toThrow(/ESRCH/);
  });

  it(
    'F-29 stop() beside the natural end, an abort and a disposal tells one end, and no error',
    async () => {
      await cleanly(async () => {
        for (let i = 0; i < rounds(30); i++) {
          const abort = new AbortController();
          const box = await runContainer({
            rootfs: await rootfs(),
            command: ['/bin/sh', '-c', 'trap "exit 3" TERM; sleep 0.01; exit 0'],
            signal: abort.signal,
            ...options,
          });
          let ends = 0;
          void box.exited.then(() => ends++);
          await sleep((i * 7) % 20);
          const all: Promise<unknown>[] = [box.stop({ timeout: 10 }), box.stop({ timeout: 0 }), box.wait()];
          if (i % 2) abort.abort();
          if (i % 3 === 0) all.push(box[Symbol.asyncDispose]());
          const [status] = (await Promise.all(all)) as [{ exitCode: number | null; signal: string | null }];
          expect(status.exitCode !== null || status.signal !== null).toBe(true);
          expect(box.kill('SIGKILL')).toBe(false);
          expect(ends).toBe(1);
        }
      });
    },
    patience(90_000),
  );
});
