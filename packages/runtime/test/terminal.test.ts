// The option `tty`: in a new container and beside a running one.
import { symlinkSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { leakCheck, need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Container, type RunOptions, runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

const n = need('busybox', process.getuid?.() === 0 ? 'root' : 'overlay-in-userns');
/** A zombie whose parent is PID 1 is of another test's Node, and for PID 1 to reap. */
const ZOMBIE = /\(Z, child of 1\)/;

describe.skipIf(!n.ok)(n.title('tty'), () => {
  let rootfs = '';
  let leaks: ReturnType<typeof leakCheck>;
  const run = (script: string, options: RunOptions = {}) =>
    runContainer({ rootfs, command: ['sh', '-c', script], tty: { columns: 100, rows: 30 }, ...options });

  beforeAll(async () => {
    rootfs = busyboxRoot();
    for (const applet of ['tty', 'stty']) symlinkSync('busybox', path.join(rootfs, 'bin', applet));
    await run('true').result();
    leaks = leakCheck({ ignore: ZOMBIE });
  });
  afterAll(() => leaks?.assertClean());

  it('is a terminal with a size and a name, and TERM says so', async () => {
    const { stdout, stderr, exitCode } = await run('tty; stty size; echo $TERM; echo err >&2; exit 4').result();
    expect([stdout, stderr, exitCode]).toEqual(['/dev/pts/0\r\n30 100\r\nxterm\r\nerr\r\n', '', 4]);
    expect(await run('echo $TERM; stty size', { tty: true, env: { TERM: 'dumb' } }).text()).toBe('dumb\r\n24 80\r\n');
  });

  it('gives all output, also of a program that nobody reads at first', async () => {
    expect((await run('seq 1 50000').text()).split('\r\n').length).toBe(50_001);
    const box = await run('seq 1 400');
    await box.exited;
    let output = '';
    for await (const chunk of box.stdout ?? []) output += chunk;
    expect(output.trimEnd().split('\r\n').at(-1)).toBe('400');
  });

  it('takes input, and its end', async () => {
    expect(await run('read a; echo "got $a"; cat', { input: 'one\ntwo\n' }).text()).toMatch(/got one\r\ntwo\r\n/);
  });

  it('ignored or given to a stream, the output is read', async () => {
    expect((await run('seq 1 20000', { stdout: 'ignore' }).result()).exitCode).toBe(0);
    let size = 0;
    const stdout = new Writable({
      write(chunk: Buffer, _, done) {
        size += chunk.length;
        done();
      },
    });
    const box = await run('seq 1 20000', { stdout });
    await box.exited;
    await new Promise((done) => setTimeout(done, 100));
    expect(size).toBe(128_894);
  });

  it('is the call’s own in exec', async () => {
    await using box: Container = await runContainer({ rootfs, command: ['sleep', '1000'] });
    expect(await box.exec(['sh', '-c', 'tty; stty size; echo $TERM'], { tty: { columns: 20, rows: 10 } }).text()).toBe(
      '/dev/pts/0\r\n10 20\r\nxterm\r\n',
    );
    expect((await box.exec(['sh', '-c', 'tty; echo $TERM']).result()).stdout).toBe('not a tty\n\n');
    const p = await box.exec(['sh', '-c', 'trap "stty size; exit" WINCH; echo; while :; do sleep 0.05; done'], { tty: true });
    p.stdout?.once('data', () => p.tty?.resize(33, 11));
    let output = '';
    for await (const chunk of p.stdout ?? []) output += chunk;
    expect(output.trim()).toBe('11 33');
  });

  it('excludes what it replaces', async () => {
    await expect(run('true', { stderr: 'pipe' }).result()).rejects.toThrow('left out with "tty": a terminal has one output');
  });
});
