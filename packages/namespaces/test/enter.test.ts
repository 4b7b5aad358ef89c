// enter(): a further program beside a running one.
import { readlinkSync } from 'node:fs';
import { need, rounds } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ContainerProcess, closeLauncher, type EnterOptions, enter, NAMESPACE_KINDS, spawn } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { NAMESPACE_FILE } from '../src/plan/clone-flags.js';
import { runs, until } from './node-child.js';
import { asRoot, ENV, leaks, messageOf, run, runInside, WAYS } from './run.js';
import { makeShellRoot, rootOf } from './shell-root.js';

const needs = need('userns', 'busybox');
const ordinary = need('ordinary-user');

describe.skipIf(!needs.ok)(needs.title('enter'), () => {
  let rootDir: string;
  beforeAll(() => {
    rootDir = makeShellRoot();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    let box: ContainerProcess;
    const start = (args = ['/bin/sleep', '600']): Promise<ContainerProcess> =>
      spawn({
        args,
        env: ENV,
        namespaces: { user, pid: 'new', mount: 'new', uts: 'new', ipc: 'new', network: 'new', cgroup: 'new', time: 'new' },
        root: rootOf(rootDir),
        mounts: [
          { type: 'proc', target: '/proc' },
          { type: 'tmpfs', target: '/tmp' },
        ],
        hostname: 'box',
        stdio: ['ignore', 'ignore', 'ignore'],
      });
    beforeAll(async () => {
      box = await start();
    });
    afterAll(() => box?.[Symbol.asyncDispose]());
    const inside = async (line: string, o: Partial<EnterOptions> = {}): Promise<string> => {
      const r = await runInside(box, { args: ['/bin/sh', '-c', line], ...o });
      expect(r.stderr).toBe('');
      return r.stdout.trim();
    };

    it('joins all namespaces, the root and the ids of the other', async () => {
      const files = NAMESPACE_KINDS.map((k) => `/proc/self/ns/${NAMESPACE_FILE[k]}`);
      const links = await inside(files.map((f) => `readlink ${f}`).join('; '));
      expect(links.split('\n')).toEqual(NAMESPACE_KINDS.map((k) => readlinkSync(`/proc/${box.pid}/ns/${NAMESPACE_FILE[k]}`)));
      expect(await inside('hostname; ls /; id -u')).toBe('box\nbin\ndata\ndev\netc\nmnt\nproc\nsys\ntmp\n0');
    });

    it('by a pid alone, too', async () => {
      const r = await runInside(box.pid, { args: ['/bin/hostname'] });
      expect(r.stdout).toBe('box\n');
    });

    it('is a process of the container, and a child of the monitor', async () => {
      const p = await enter(box, { args: ['/bin/sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
      expect(await inside('cat /proc/[0-9]*/comm')).toContain('sleep\nsleep');
      const status = (await import('node:fs')).readFileSync(`/proc/${p.pid}/status`, 'utf8');
      expect(Number(/PPid:\s*(\d+)/.exec(status)?.[1])).toBe(Launcher.current.pid);
      p.kill('SIGKILL');
      expect(await p.exited).toMatchObject({ signal: 'SIGKILL' });
    });

    it('has its own streams, environment, directory, exit code and limits', async () => {
      const r = await runInside(box, {
        args: ['/bin/sh', '-c', 'cat; pwd; echo $A; ulimit -n; exit 7'],
        env: { A: 'b', PATH: '/bin' },
        cwd: '/etc',
        rlimits: { nofile: { soft: 20, hard: 20 } },
      });
      expect([r.stdout, r.exitCode]).toEqual(['/etc\nb\n20\n', 7]);
    });

    it('takes no right from inside: capabilities and filter are those that are given', async () => {
      const none = { bounding: [], effective: [], permitted: [], inheritable: [], ambient: [] };
      const status = await inside('grep -E "Cap(Bnd|Eff|Prm)|NoNewPrivs" /proc/self/status', {
        capabilities: none as never,
        noNewPrivileges: true,
      });
      expect(status.replace(/\s+/g, ' ')).toBe(
        `CapPrm: ${'0'.repeat(16)} CapEff: ${'0'.repeat(16)} CapBnd: ${'0'.repeat(16)} NoNewPrivs: 1`,
      );
    });

    it('only 0, 1 and 2 are open in it', async () => {
      expect(await inside('ls /proc/$$/fd; true')).toBe('0\n1\n2');
    });

    it('may join some namespaces only', async () => {
      const kinds: EnterOptions['namespaces'] = user === 'new' ? ['user', 'uts'] : ['uts'];
      const r = await runInside(box, { args: ['sh', '-c', 'uname -n; readlink /proc/self/ns/pid'], namespaces: kinds });
      expect(r.stdout).toBe(`box\n${readlinkSync('/proc/self/ns/pid')}\n`);
    });

    it('an oom_score_adj is its own', async () => {
      expect(await inside('cat /proc/self/oom_score_adj', { oomScoreAdj: 900 })).toBe('900');
      expect(await inside('cat /proc/self/oom_score_adj')).not.toBe('900');
    });

    it('leaves nothing behind, 100 in a row and 50 at once', async () => {
      await inside('true');
      const check = leaks();
      for (let i = 0; i < rounds(100); i++) await runInside(box, { args: ['/bin/true'], stdio: ['ignore', 'ignore', 'ignore'] });
      const codes = await Promise.all(Array.from({ length: 50 }, (_, i) => runInside(box, { args: ['/bin/sh', '-c', `exit ${i}`] })));
      expect(codes.map((r) => r.exitCode)).toEqual(Array.from({ length: 50 }, (_, i) => i));
      await check.assertClean();
    });

    it('a program that is not there is told with the step', async () => {
      expect((await messageOf(enter(box, { args: ['/nowhere'], env: {} }))).replaceAll(String(box.pid), '<pid>')).toMatchInlineSnapshot(`
        "run /nowhere beside process <pid>: run /nowhere: execve: ENOENT (no such file or directory)
          execve("/nowhere", ["/nowhere"], [0 variables])
          hint: there is no /nowhere inside, or the interpreter or loader that it names is missing; paths and PATH are those of the new root"
      `);
    });

    it('into one that has ended is refused by name', async () => {
      const gone = await start(['/bin/true']);
      await gone.cleaned;
      const message = await messageOf(enter(gone, { args: ['/bin/true'] }));
      expect(message.replaceAll(String(gone.pid), '<pid>').replace(/setns\(target, .*\)/, 'setns(target, …)')).toMatchInlineSnapshot(`
        "run /bin/true beside process <pid>: join the namespaces of process <pid>: setns: ESRCH (no such process)
          setns(target, …)
          hint: the process has ended"
      `);
    });

    it('into one that is dying either runs or is refused, and leaves nothing', async () => {
      await inside('true');
      const check = leaks();
      const outcomes = new Set<string>();
      for (let round = 0; round < 30; round++) {
        const target = await start();
        const tries = Array.from({ length: 4 }, async () => {
          try {
            const r = await runInside(target, { args: ['/bin/true'], stdio: ['ignore', 'ignore', 'ignore'] });
            return r.signal ?? String(r.exitCode);
          } catch (e) {
            // ENOMEM: the kernel's answer for a pid namespace whose first process is gone (clone(2)).
            return String((e as { cause?: { code?: string } }).cause?.code);
          }
        });
        target.kill('SIGKILL');
        for (const o of await Promise.all(tries)) outcomes.add(o);
        await target.cleaned;
      }
      expect([...outcomes].filter((o) => !['0', 'SIGKILL', 'ESRCH', 'ENOMEM', 'EINTR'].includes(o))).toEqual([]);
      await check.assertClean();
    });

    it('dies with the container', async () => {
      const target = await start();
      const p = await enter(target, { args: ['/bin/sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
      target.kill('SIGKILL');
      expect(await p.exited).toMatchObject({ signal: 'SIGKILL' });
      await target.cleaned;
    });

    it('dies with the monitor', async () => {
      const target = await start();
      const p = await enter(target, { args: ['/bin/sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
      process.kill(Launcher.current.pid, 'SIGKILL');
      await Promise.all([p.exited, target.exited]);
      await until(() => [p.pid, target.pid].filter(runs));
      box = await start();
    });
  });

  it('into a process of its own namespaces is just another process', async () => {
    const p = await spawn({ args: ['sleep', '600'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    expect((await runInside(p, { args: ['sh', '-c', 'echo beside'] })).stdout).toBe('beside\n');
    await p[Symbol.asyncDispose]();
  });

  it('into no process at all is refused before anything is done', async () => {
    expect(await messageOf(enter(-1, { args: ['true'] }))).toMatchInlineSnapshot(
      `"expected "target" to be a process or its pid, received -1 (number)"`,
    );
    expect(await messageOf(enter(2 ** 22 + 5, { args: ['true'] }))).toMatchInlineSnapshot(
      `"open process 4194309: pidfd_open: ESRCH (no such process)"`,
    );
  });

  it.skipIf(!ordinary.ok)(ordinary.title('into a process of another user is refused'), async () => {
    expect((await messageOf(enter(1, { args: ['true'] }))).split('\n')[0]).toMatch(/process 1: .*(EACCES|EPERM)/);
  });

  it('runs nothing when the monitor ends meanwhile', async () => {
    const p = await spawn({
      args: ['sleep', '600'],
      env: ENV,
      namespaces: asRoot ? { pid: 'new' } : { user: 'new', pid: 'new' },
      stdio: ['ignore', 'ignore', 'ignore'],
    });
    const tries = Array.from({ length: 5 }, () => enter(p, { args: ['sleep', '600'], env: ENV }).catch((e) => e));
    await closeLauncher();
    for (const t of await Promise.all(tries)) if (!(t instanceof Error)) expect(runs((t as ContainerProcess).pid)).toBe(false);
    expect((await run({ args: ['true'] })).exitCode).toBe(0);
  });
});
