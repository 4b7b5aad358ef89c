// A terminal of the program's own: seen from inside, and read to its last byte.
import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ContainerProcess, type EnterOptions, enter, type SpawnOptions, spawn } from '../src/index.js';
import { until } from './node-child.js';
import { ENV, leaks, messageOf, run, WAYS } from './run.js';
import { makeShellRoot, rootOf } from './shell-root.js';

const needs = need('userns', 'busybox');
/** As a terminal prints it: each line feed becomes two characters. */
const plain = (s: string): string => s.replaceAll('\r\n', '\n').trimEnd();

/** What it printed, once it is closed. */
async function printed(p: ContainerProcess): Promise<string> {
  const [output] = await Promise.all([text(p.tty as NonNullable<typeof p.tty>), p.cleaned]);
  return plain(output);
}

const FACTS =
  'tty; for n in 0 1 2; do test -t $n && echo $n; done; read pid comm state ppid pgrp session tty tpgid rest </proc/self/stat; echo $((session == $$)) $((tpgid == $$)) $((tty != 0)); stty size';

describe.skipIf(!needs.ok)(needs.title('a terminal'), () => {
  let rootDir: string;
  beforeAll(() => {
    rootDir = makeShellRoot();
    for (const applet of ['tty', 'stty', 'uniq', 'seq', 'setsid', 'od', 'dd', 'trap'])
      symlinkSync('busybox', path.join(rootDir, 'bin', applet));
  });

  describe.each(WAYS)('$way', ({ user }) => {
    const namespaces = { user, mount: 'new', pid: 'new', uts: 'new', ipc: 'new', network: 'new' } as const;
    const options = (line: string, o: Partial<SpawnOptions> = {}): SpawnOptions => ({
      args: ['/bin/sh', '-c', line],
      env: ENV,
      namespaces,
      root: rootOf(rootDir),
      mounts: [
        { type: 'proc', target: '/proc' },
        { type: 'dev', target: '/dev' },
        { type: 'devpts', target: '/dev/pts' },
      ],
      tty: true,
      ...o,
    });
    const inTty = async (line: string, o: Partial<SpawnOptions> = {}): Promise<string> => printed(await spawn(options(line, o)));

    it('is all three streams, the controlling terminal of the session, and has a size', async () => {
      expect(await inTty(FACTS)).toBe('/dev/pts/0\n0\n1\n2\n1 1 1\n24 80');
      expect(await inTty('stty size', { tty: { columns: 123, rows: 45 } })).toBe('45 123');
    });

    it('is /dev/console too, and /dev/tty', async () => {
      expect(await inTty('stat -c "%F %t:%T" /dev/console; echo one >/dev/console; echo two >/dev/tty; ls /dev/pts')).toBe(
        'character special file 88:0\none\ntwo\n0     ptmx',
      );
    });

    it('leaves no descriptor in the program', async () => {
      expect(await inTty('ls -1 /proc/$$/fd; true')).toBe('0\n1\n2');
    });

    it('takes what is typed, with Control-C and Control-D', async () => {
      // A shell of short sleeps: what comes between its fork and the exec of a `sleep 100` would only be heard after those.
      const line = 'read line; echo "got $line"; cat; trap "exit 130" INT; echo end; while :; do sleep 0.02; done';
      const p = await spawn(options(line));
      let output = '';
      p.tty?.on('data', (d) => {
        output += d;
      });
      const shows = (words: string): Promise<unknown> => until(() => (plain(output).endsWith(words) ? [] : [words]));
      p.stdin?.write('hello\n');
      await shows('got hello');
      p.stdin?.write('more\n');
      await shows('more\nmore');
      p.stdin?.write('\x04');
      await shows('end');
      p.stdin?.write('\x03');
      expect(await p.closed).toMatchObject({ exitCode: 130 });
      expect(plain(output)).toBe('hello\ngot hello\nmore\nmore\nend\n^C');
    });

    it('end() is the end of its input', async () => {
      const p = await spawn(options('cat; echo "end"'));
      p.stdin?.end('last words\n');
      expect(await printed(p)).toMatch(/last words\nlast words\nend$/);
    });

    it('changes its size, and tells the program', async () => {
      const p = await spawn(options('trap "stty size; exit 3" WINCH; echo ready; while :; do sleep 0.05; done'));
      let output = '';
      p.tty?.on('data', (d) => {
        output += d;
        if (output.endsWith('ready\r\n')) p.tty?.resize(200, 50);
      });
      expect(await p.closed).toMatchObject({ exitCode: 3 });
      expect(plain(output)).toBe('ready\n50 200');
      expect([p.tty?.columns, p.tty?.rows]).toEqual([200, 50]);
      p.tty?.resize(1, 1);
      expect(() => p.tty?.resize(0, 1)).toThrow('expected "columns" to be an integer from 1 to 65535, received 0 (number)');
    });

    it('loses nothing at the end, however late it is read', async () => {
      const p = await spawn(options('seq 1 20000'));
      // The terminal holds a few KiB only, so the program ends while it is read.
      await sleep(100);
      const lines = (await printed(p)).split('\n');
      expect([lines.length, lines[0], lines.at(-1)]).toEqual([20_000, '1', '20000']);
    });

    it('is there after the end: exit and close are two things', async () => {
      const p = await spawn(options('echo last; exit 5'));
      expect((await p.exited).exitCode).toBe(5);
      await sleep(20);
      expect(p.tty?.closed).toBe(false);
      let closed = false;
      void p.closed.then(() => {
        closed = true;
      });
      await sleep(20);
      expect(closed).toBe(false);
      expect(plain(await text(p.tty as never))).toBe('last');
      expect((await p.closed).exitCode).toBe(5);
      expect(p.tty?.fd.closed).toBe(true);
    });

    it('stays when the program closes it for a moment', async () => {
      expect(await inTty('exec 0<&- 1>&- 2>&-; sleep 0.1; exec >/dev/tty; echo back')).toBe('back');
    });

    it('does not wait for what is left on it', async () => {
      // The first process of a pid namespace takes the others along; a further one does not.
      const box = await spawn(options('', { args: ['/bin/sleep', '1000'], tty: false }));
      const line = 'trap "" HUP; sleep 1000 & echo x';
      expect(await printed(await enter(box, { args: ['/bin/sh', '-c', line], env: ENV, tty: true }))).toBe('x');
      await box[Symbol.asyncDispose]();
    });

    it('belongs to the program’s user', async () => {
      if (user === 'new') expect(await inTty('stat -c %u /dev/pts/0')).toBe('0');
      else {
        const line = 'stat -c "%u %g %a" /dev/pts/0; echo ok >/dev/pts/0';
        expect(await inTty(line, { user: { uid: 1234, gid: 1234 } })).toBe('1234 5 620\nok');
      }
    });

    it('pauses the program when nobody reads, and is let go unread', async () => {
      await inTty('true');
      const check = leaks();
      const p = await spawn(options('seq 1 1000000; echo done'));
      await sleep(100);
      expect(p.ended).toBe(false);
      await p[Symbol.asyncDispose]();
      await check.assertClean();
    });

    it('leaves nothing, also when the start fails', async () => {
      await inTty('true');
      const check = leaks();
      for (let i = 0; i < 20; i++) await inTty('echo x');
      expect(await messageOf(spawn(options('', { args: ['/bin/nothing'] })))).toContain('execve: ENOENT');
      await check.assertClean();
    });

    it('in a root without a devpts is refused with the cure', async () => {
      expect(await messageOf(spawn(options('', { mounts: [{ type: 'dev', target: '/dev' }] })))).toMatchInlineSnapshot(`
        "start /bin/sh: make the terminal: openat2: ENOENT (no such file or directory)
          tty.master = openat2(AT_FDCWD, "/dev/ptmx", {flags=O_RDWR|O_NOCTTY|O_NONBLOCK|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
          hint: a terminal needs a devpts of its own in a new root: mounts of type 'dev' on /dev and 'devpts' on /dev/pts"
      `);
    });

    it('of the host, without a root', async () => {
      expect(await inTty('tty', { namespaces: {}, root: undefined as never, mounts: undefined as never } as never)).toMatch(
        /^\/dev\/pts\/\d+$/,
      );
    });

    describe('of a further program', () => {
      let box: ContainerProcess;
      beforeAll(async () => {
        box = await spawn(options('', { args: ['/bin/sleep', '1000'], tty: false }));
      });
      afterAll(() => box?.[Symbol.asyncDispose]());
      const inside = async (line: string, o: Partial<EnterOptions> = {}): Promise<string> =>
        printed(await enter(box, { args: ['/bin/sh', '-c', line], env: ENV, tty: true, ...o }));

      it('is one of the container’s own', async () => {
        expect(await inside(FACTS, { tty: { columns: 99, rows: 9 } })).toBe('/dev/pts/0\n0\n1\n2\n1 1 1\n9 99');
        expect(await inside('seq 1 5000 | tail -n 1; ls -1 /proc/$$/fd; true')).toBe('5000\n0\n1\n2');
      });

      it('is not what the container has put in its place', async () => {
        const fake = async (line: string): Promise<string> => {
          const p = await spawn(options('', { args: ['/bin/sh', '-c', `${line}; sleep 1000`], tty: false }));
          await sleep(200);
          const message = await messageOf(enter(p, { args: ['/bin/true'], tty: true }));
          await p[Symbol.asyncDispose]();
          return message.replace(/process \d+/, 'process N');
        };
        expect(await fake('rm /dev/ptmx; touch /dev/ptmx')).toMatchInlineSnapshot(`
          "run /bin/true beside process N: make the terminal: ioctl: ENOTTY (failed)
            ioctl(tty.master, TIOCSPTLCK, {0})
            hint: somebody inside has put something else in the place of /dev/ptmx"
        `);
        expect(await fake('rm /dev/ptmx; ln -s /proc/self/fd/0 /dev/ptmx')).toMatchInlineSnapshot(`
          "run /bin/true beside process N: make the terminal: openat2: ELOOP (too many symbolic links)
            tty.master = openat2(AT_FDCWD, "/dev/ptmx", {flags=O_RDWR|O_NOCTTY|O_NONBLOCK|O_CLOEXEC, resolve=RESOLVE_NO_MAGICLINKS}, 24)
            hint: the path leads through a magic link of /proc, which is not followed"
        `);
        // It would hold up whoever opens it and waits.
        expect(await fake('rm /dev/ptmx; /bin/busybox mkfifo /dev/ptmx')).toMatchInlineSnapshot(`
          "run /bin/true beside process N: make the terminal: ioctl: ENOTTY (failed)
            ioctl(tty.master, TIOCSPTLCK, {0})
            hint: somebody inside has put something else in the place of /dev/ptmx"
        `);
      });
    });

    it('excludes stdio, and has a size from 1 on', async () => {
      expect(await messageOf(run(options('', { stdio: ['pipe', 'pipe', 'pipe'] })))).toMatchInlineSnapshot(
        `"expected "stdio" to be left out: the terminal takes its place, received an array of 3"`,
      );
      expect(await messageOf(run(options('', { tty: { columns: 80, rows: 0 } })))).toMatchInlineSnapshot(
        `"expected "tty.rows" to be an integer from 1 to 65535, received 0 (number)"`,
      );
      expect(await messageOf(run(options('', { tty: { columns: 80, row: 1 } as never })))).toMatchInlineSnapshot(
        `"expected "tty.row" to be a known option (did you mean "rows"?), received 1 (number)"`,
      );
    });
  });
});
