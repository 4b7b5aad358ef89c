// `init: true`: a first process that reaps and passes signals on.
import { setTimeout as sleep } from 'node:timers/promises';
import { need } from '@ctr/internal/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { type SpawnOptions, spawn } from '../src/index.js';
import { until } from './node-child.js';
import { ENV, leaks, messageOf, run, WAYS } from './run.js';
import { makeShellRoot, rootOf } from './shell-root.js';

const needs = need('userns', 'busybox');

describe.skipIf(!needs.ok)(needs.title('init'), () => {
  let rootDir: string;
  beforeAll(() => {
    rootDir = makeShellRoot();
  });

  describe.each(WAYS)('$way', ({ user }) => {
    const options = (line: string, o: Partial<SpawnOptions> = {}): SpawnOptions => ({
      args: ['sh', '-c', line],
      env: ENV,
      namespaces: { user, pid: 'new', mount: 'new' },
      root: rootOf(rootDir),
      mounts: [
        { type: 'proc', target: '/proc' },
        { type: 'dev', target: '/dev' },
        { type: 'devpts', target: '/dev/pts' },
      ],
      init: true,
      ...o,
    });

    it('is the first process, from a sealed file in memory, and the program the second', async () => {
      const r = await run(options('echo $$; cat /proc/1/comm; readlink /proc/1/exe; ls /proc/1/fd; echo x >/proc/1/exe; exit 9'));
      expect(r.stdout).toMatch(/^2\nctr-init\n\/memfd:ctr-init \(deleted\)\n0\n1\n2\n$/);
      // ETXTBSY or EPERM: it runs, and it is sealed.
      expect(r.stderr).toMatch(/can't create \/proc\/1\/exe/);
      expect(r.exitCode).toBe(9);
    });

    it('passes signals on, and ends as the program does', async () => {
      const p = await spawn(options('trap "echo term; exit 3" TERM; trap "echo usr1" USR1; echo ready; while :; do sleep 0.02; done'));
      let output = '';
      p.stdout?.on('data', (d) => {
        output += d;
      });
      const shows = (words: string): Promise<void> => until(() => (output.endsWith(words) ? [] : [words]));
      await shows('ready\n');
      p.kill('SIGUSR1');
      await shows('usr1\n');
      p.kill('SIGTERM');
      expect(await p.exited).toMatchObject({ exitCode: 3 });
      // Without a handler, where a first process would not hear it.
      const silent = await spawn(options('', { args: ['sleep', '1000'] }));
      await sleep(50);
      silent.kill('SIGTERM');
      expect(await silent.exited).toMatchObject({ exitCode: 128 + 15, signal: null });
    });

    it('reaps what others leave behind', async () => {
      const line =
        'for i in 1 2 3 4 5; do (sh -c "sleep 0.05" & ) ; done; sleep 0.4; cat /proc/[0-9]*/stat | grep -c " Z " ; ls /proc | grep -c "^[0-9]"';
      expect((await run(options(line))).stdout.split('\n')[0]).toBe('0');
    });

    it('takes the others along when the program ends', async () => {
      const r = await run(options('sleep 1000 & sleep 1000 & exit 4'));
      expect(r.exitCode).toBe(4);
    });

    it('has the program in the foreground of its terminal', async () => {
      const line =
        'trap "echo int; exit 7" INT; read pid comm state ppid pgrp session tty tpgid rest </proc/self/stat; echo $((tpgid == pgrp)); while :; do sleep 0.02; done';
      const p = await spawn(options(line, { tty: true }));
      let output = '';
      p.tty?.on('data', (d) => {
        output += d;
        if (output === '1\r\n') p.stdin?.write('\x03');
      });
      expect(await p.closed).toMatchObject({ exitCode: 7 });
      expect(output).toBe('1\r\n^Cint\r\n');
    });

    it('fails as a program does that is not there', async () => {
      expect(await messageOf(run(options('', { args: ['nothing'] })))).toMatchInlineSnapshot(`
        "start nothing: run nothing: faccessat2: ENOENT (no such file or directory)
          faccessat2(AT_FDCWD, "/sbin/nothing", X_OK, AT_EACCESS)"
      `);
      expect((await run(options('', { args: ['/etc'] }))).exitCode).toBe(126);
    });

    it('leaves nothing', async () => {
      await run(options('true'));
      const check = leaks();
      for (let i = 0; i < 10; i++) await run(options('sleep 1000 & true'));
      await check.assertClean();
    });
  });

  it('needs a pid namespace', async () => {
    expect(await messageOf(run({ args: ['true'], init: true }))).toMatchInlineSnapshot(
      `"expected "namespaces.pid" to be 'new', since init is given, received undefined"`,
    );
  });
});
