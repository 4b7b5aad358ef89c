// Further programs in a running container: each with attributes of its own, and thousands of them without a leak.
import { readdirSync, readFileSync } from 'node:fs';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type CapabilitySets, type ContainerProcess, compileSeccomp, enter, spawn } from '../src/index.js';
import { Launcher } from '../src/launcher/launcher.js';
import { buildFacts, parseFacts } from './facts.js';
import { asRoot, ENV, finished, leaks, WAYS } from './run.js';

const needs = need('userns', 'static-cc');
const MANY = 2000;

describe.skipIf(!needs.ok)(needs.title('further programs'), () => {
  let program: string;
  beforeAll(() => {
    program = buildFacts();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    let box: ContainerProcess;
    beforeAll(async () => {
      box = await spawn({
        args: ['sleep', '1000'],
        env: ENV,
        namespaces: { user, pid: 'new', uts: 'new', ipc: 'new', network: 'new' },
        hostname: 'box',
        stdio: ['ignore', 'ignore', 'ignore'],
      });
    });
    afterAll(() => box?.[Symbol.asyncDispose]());

    it('have every attribute of their own, over pipes and over a terminal', async () => {
      const sets = {
        bounding: ['CAP_KILL', 'CAP_CHOWN'],
        effective: ['CAP_KILL'],
        permitted: ['CAP_KILL'],
        inheritable: ['CAP_KILL'],
        ambient: ['CAP_KILL'],
      };
      const options = {
        args: [program],
        env: { A: 'b' },
        cwd: '/usr',
        user: user === 'host' ? { uid: 1234, gid: 2345, groups: [7, 8], umask: 0o027 } : { uid: 0, gid: 0, umask: 0o027 },
        capabilities: sets as unknown as CapabilitySets,
        noNewPrivileges: true,
        rlimits: { nofile: { soft: 30, hard: 40 }, core: { soft: 0, hard: 0 } },
        oomScoreAdj: 700,
        nice: 19,
        seccomp: compileSeccomp({ defaultAction: 'SCMP_ACT_ALLOW' }),
        personality: { domain: 'LINUX32' },
        parentDeathSignal: 'SIGTERM',
      };
      const expected = {
        ...(user === 'host' ? { uid: '1234 1234 1234', gid: '2345 2345 2345', groups: '7 8' } : { uid: '0 0 0', gid: '0 0 0' }),
        umask: '027',
        bounding: '0000000000000021',
        ambient: '0000000000000020',
        no_new_privs: '1',
        'limit.nofile': '30 40',
        'limit.core': '0 0',
        oom_score_adj: '700',
        nice: '19',
        seccomp: '2',
        personality: '8',
        pdeathsig: '15',
        cwd: '/usr',
        hostname: 'box',
        fds: '0 1 2',
      };
      const piped = parseFacts((await finished(await enter(box, options))).stdout);
      expect(piped).toMatchObject({ ...expected, tty: 'none' });
      if (user === 'host') expect(piped['effective']).toBe('0000000000000020');
      const typed = parseFacts((await finished(await enter(box, { ...options, tty: { columns: 90, rows: 30 } }))).stdout);
      expect(typed).toMatchObject({ ...expected, tty: '90x30 leader 1 foreground 1' });
    });

    it('tell how they ended and what they used', async () => {
      const busy = await enter(box, { args: ['sh', '-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exit 3'], env: ENV });
      const { exitCode, usage } = await busy.exited;
      expect(exitCode).toBe(3);
      expect(usage.cpuUserMs).toBeGreaterThan(1);
      expect(usage.maxRssBytes).toBeGreaterThan(100_000);
      for (const signal of ['SIGTERM', 'SIGUSR1', 'SIGKILL', 'SIGRTMIN+3']) {
        const p = await enter(box, { args: ['sleep', '1000'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
        expect(p.kill(signal)).toBe(true);
        expect(await p.exited).toMatchObject({ exitCode: null, signal });
        expect(p.kill(signal)).toBe(false);
      }
    });

    it(`${MANY} in a row, over pipes and over terminals, leave nothing`, async () => {
      const run = async (i: number): Promise<number | null> => {
        const p = await enter(box, { args: ['/bin/true'], ...(i % 4 === 0 ? { tty: true } : {}) });
        return (await finished(p)).exitCode;
      };
      await run(0);
      await run(1);
      const check = leaks();
      const fds = (): number => readdirSync('/proc/self/fd').length;
      const theirs = (): string => (asRoot ? String(readdirSync(`/proc/${Launcher.current.pid}/fd`).length) : '');
      const [before, theirsBefore] = [fds(), theirs()];
      for (let i = 0; i < MANY; i += 8) {
        const codes = await Promise.all(Array.from({ length: 8 }, (_, n) => run(i + n)));
        expect(codes).toEqual(Array.from({ length: 8 }, () => 0));
      }
      await check.assertClean();
      // At most: what earlier tests still had open may have been closed meanwhile.
      expect(fds()).toBeLessThanOrEqual(before);
      expect(theirs()).toBe(theirsBefore);
      expect(readFileSync(`/proc/${box.pid}/status`, 'utf8')).toContain('State:\tS');
    }, 180_000);
  });
});
