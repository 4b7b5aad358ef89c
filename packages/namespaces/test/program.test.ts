// What a program gets and gives: arguments, environment, directory, streams, its end.
import { chmodSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { makeTempDir } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { enterTemplate, Fd, spawn, spawnTemplate } from '../src/index.js';
import { ENV, finished, leaks, run, runInside, shell } from './run.js';

describe('the program', () => {
  it('gets its arguments byte for byte', async () => {
    const args = ['', ' two words ', 'quote\'"\\', 'ünïcödé \u{1f980}', '$HOME `id` \n newline', '-n'];
    const r = await run({ args: ['printf', '<%s>', ...args] });
    expect(r.stdout).toBe(args.map((a) => `<${a}>`).join(''));
  });

  it('finds another name for itself, where one is given', async () => {
    const args = ['sh', '-c', 'tr "\\0" " " </proc/$$/cmdline'];
    expect((await run({ args, argv0: '-login' })).stdout).toBe(`-login -c ${args[2]} `);
    const template = spawnTemplate({ args, argv0: '-again' }, 'placeholder-of-a-name');
    expect((await finished(await template.spawn({ name: 'placeholder-of-a-name', args, env: ENV }))).stdout).toBe(`-again -c ${args[2]} `);
    const box = await spawn({ args: ['sleep', '60'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    expect((await runInside(box, { args, argv0: '-beside', namespaces: [] })).stdout).toBe(`-beside -c ${args[2]} `);
    const parked = await enterTemplate(box, { args, argv0: '-parked', namespaces: [] }).park();
    expect((await finished(await parked.enter({ args, env: ENV }))).stdout).toBe(`-parked -c ${args[2]} `);
    await box[Symbol.asyncDispose]();
  });

  it('finds another name for itself below a first process that reaps', async () => {
    const args = ['sh', '-c', 'tr "\\0" " " </proc/$$/cmdline'];
    const namespaces = { pid: 'new', user: 'new', mount: 'new' } as const;
    const r = await run({ args, argv0: '-first', init: true, namespaces, mounts: [{ type: 'proc', target: '/proc' }] });
    expect(r.stdout).toBe(`-first -c ${args[2]} `);
  });

  it('gets the environment that is given and nothing else', async () => {
    const r = await run({ args: ['/usr/bin/env'], env: { ONE: '1', EMPTY: '', TEXT: 'a=b c' } });
    expect(r.stdout).toBe('ONE=1\nEMPTY=\nTEXT=a=b c\n');
    expect((await run({ args: ['/usr/bin/env'], env: {} })).stdout).toBe('');
  });

  it('starts in / or in the directory that is given', async () => {
    expect(await shell('pwd')).toBe('/');
    expect(await shell('pwd', { cwd: '/proc/sys' })).toBe('/proc/sys');
  });

  it('starts in a directory that is made for it', async () => {
    const dir = path.join(makeTempDir('cwd'), 'a', 'b');
    expect(await shell('pwd', { cwd: dir, createCwd: true })).toBe(dir);
  });

  it('is looked up in the PATH of its own environment, in order', async () => {
    const dir = makeTempDir('path');
    for (const d of ['no', 'first', 'second']) mkdirSync(path.join(dir, d));
    for (const d of ['first', 'second']) {
      writeFileSync(path.join(dir, d, 'tool'), `#!/bin/sh\necho ${d}\n`);
      chmodSync(path.join(dir, d, 'tool'), 0o755);
    }
    // Not executable: passed over, as execvp(3) does.
    writeFileSync(path.join(dir, 'no', 'tool'), '');
    const PATH = ['/nowhere', 'no', 'first', 'second'].map((d) => (d.startsWith('/') ? d : path.join(dir, d))).join(':');
    expect((await run({ args: ['tool'], env: { PATH } })).stdout).toBe('first\n');
  });

  it('is looked up in the usual places without a PATH', async () => {
    expect((await run({ args: ['echo', 'x'], env: {} })).stdout).toBe('x\n');
  });

  it.each([0, 1, 42, 127, 255])('ends with exit code %i', async (code) => {
    expect(await run({ args: ['sh', '-c', `exit ${code}`] })).toMatchObject({ exitCode: code, signal: null });
  });

  it.each(['SIGTERM', 'SIGKILL', 'SIGHUP', 'SIGUSR1', 'SIGRTMIN+3'])('is ended by %s', async (signal) => {
    const p = await spawn({ args: ['sleep', '60'], env: ENV, stdio: ['ignore', 'ignore', 'ignore'] });
    expect(p.kill(signal)).toBe(true);
    expect(await p.exited).toMatchObject({ exitCode: null, signal });
    expect(p.kill(signal)).toBe(false);
    expect(p.ended).toBe(true);
  });

  it('has no signal blocked and none ignored', async () => {
    const status = await shell('cat /proc/self/status');
    expect(status).toMatch(/^SigBlk:\t0{16}$/m);
    expect(status).toMatch(/^SigIgn:\t0{16}$/m);
  });

  it('is the leader of a session without a terminal', async () => {
    const [pid, session, tty] = (await shell('set -- $(cat /proc/$$/stat); echo $1 $6 $7')).split(' ');
    expect([session, tty]).toEqual([pid, '0']);
  });

  it('says what it used', async () => {
    const { exit } = await run({ args: ['sh', '-c', 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done'] });
    expect(exit.usage.cpuUserMs).toBeGreaterThan(1);
    expect(exit.usage.cpuUserMs + exit.usage.cpuSystemMs).toBeLessThan(20_000);
    expect(exit.usage.maxRssBytes).toBeGreaterThan(100_000);
  });

  it('has the umask 022, or the one that is given', async () => {
    expect(await shell('umask')).toBe('0022');
    const ids = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
    if (ids.uid === 0) expect(await shell('umask', { user: { ...ids, umask: 0o077 } })).toBe('0077');
  });
});

describe('the standard streams', () => {
  it('are pipes for output by default, and no input', async () => {
    const r = await run({ args: ['sh', '-c', 'cat; echo out; echo err >&2; readlink /proc/self/fd/0'] });
    expect([r.stdout, r.stderr]).toEqual(['out\n/dev/null\n', 'err\n']);
  });

  it('carry a megabyte in and out', async () => {
    const big = 'x'.repeat(1 << 20);
    const p = await spawn({ args: ['cat'], env: ENV, stdio: ['pipe', 'pipe', 'ignore'] });
    p.stdin?.end(big);
    expect((await text(p.stdout as NodeJS.ReadableStream as never)).length).toBe(big.length);
    expect(await p.exited).toMatchObject({ exitCode: 0 });
  });

  it('end at the program when it reads no more', async () => {
    const p = await spawn({ args: ['true'], env: ENV, stdio: ['pipe', 'ignore', 'ignore'] });
    p.stdin?.write('x'.repeat(1 << 20));
    expect(await p.exited).toMatchObject({ exitCode: 0 });
    p.closeStreams();
  });

  it('are null when they are not pipes', async () => {
    const p = await spawn({ args: ['true'], env: ENV, stdio: ['ignore', 'ignore', 'inherit'] });
    expect([p.stdin, p.stdout, p.stderr]).toEqual([null, null, null]);
    await p.cleaned;
  });

  it('may be this process’s own', async () => {
    const own =
      readFileSync('/proc/self/stat', 'utf8') && (await shell('readlink /proc/self/fd/2', { stdio: ['ignore', 'pipe', 'inherit'] }));
    const mine = (await import('node:fs')).readlinkSync('/proc/self/fd/2');
    expect(own).toBe(mine);
  });

  it('may be files, which stay the caller’s', async () => {
    const file = path.join(makeTempDir('stdio'), 'out');
    using fd = Fd.of(openSync(file, 'w+'));
    const p = await spawn({ args: ['sh', '-c', 'echo out; echo err >&2'], env: ENV, stdio: ['ignore', fd, fd] });
    await p.exited;
    expect(readFileSync(file, 'utf8')).toBe('out\nerr\n');
    expect(fd.closed).toBe(false);
  });

  it('of a process object that nobody has any more are closed with it', async () => {
    setFlagsFromString('--expose-gc');
    const gc = runInNewContext('gc') as () => void;
    await run({ args: ['true'] });
    const check = leaks();
    await (async () => (await spawn({ args: ['echo', 'unread'], env: ENV, stdio: ['pipe', 'pipe', 'pipe'] })).cleaned)();
    await expect
      .poll(() => {
        gc();
        return check.left();
      })
      .toEqual([]);
  });

  it('nobody looked at are closed', async () => {
    await run({ args: ['true'] });
    const check = leaks();
    const p = await spawn({ args: ['echo', 'unread'], env: ENV, stdio: ['pipe', 'pipe', 'pipe'] });
    await p.cleaned;
    p.closeStreams();
    await check.assertClean();
  });
});

describe('descriptors', () => {
  it('only 0, 1 and 2 reach the program, whatever this process holds', async () => {
    // Found by its number: a shell cannot ask for close-on-exec of what it did not open.
    const leaked = openSync('/etc/passwd', 'r');
    const { execFileSync } = await import('node:child_process');
    const held = execFileSync('ls', ['/proc/self/fd'], { stdio: ['ignore', 'pipe', 'ignore', leaked] }).toString();
    expect(held.split('\n')).toContain('3');
    closeSync(leaked);
    expect((await shell('ls /proc/$$/fd')).split('\n')).toEqual(['0', '1', '2']);
    expect((await shell('ls /proc/$$/fd', { namespaces: {}, stdio: ['pipe', 'pipe', 'pipe'] })).split('\n')).toEqual(['0', '1', '2']);
  });

  it('its files are its own, so closing them here changes nothing', async () => {
    const p = await spawn({ args: ['sh', '-c', 'read x; echo got $x'], env: ENV, stdio: ['pipe', 'pipe', 'ignore'] });
    p.stdin?.end('it\n');
    expect(await text(p.stdout as never)).toBe('got it\n');
    await p.cleaned;
  });
});
