// OCI's seccomp agent: a real server takes the listener of a container's filter from its socket, and answers for its calls.
import { type ChildProcessByStdio, spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { host, leakCheck, makeTempDir, need } from '@ctr/internal/testing';
import { type OciSeccomp, syscallNumber, syscallTable } from '@ctr/namespaces';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runContainer } from '../src/index.js';
import { busyboxRoot } from './busybox-root.js';

host.define('python3', {
  test: () => spawnSync(host.program('python3'), ['-c', 'import socket; socket.recv_fds']).status === 0,
  cure: 'on Debian: apt-get install python3 (3.9)',
});
const needs = need('linux', 'userns', 'overlay-in-userns', 'busybox', 'python3');

process.env['CTR_RUN'] = makeTempDir('run');
process.env['CTR_ROOT'] = makeTempDir('store');

interface Told {
  state: {
    ociVersion: string;
    fds: string[];
    pid: number;
    metadata?: string;
    state: { id: string; status: string; pid: number; bundle: string; annotations?: Record<string, string> };
  };
  fds: number;
  /** Bytes after the message. */
  more: number;
}

const MKDIR = ['mkdir', 'mkdirat'].filter((name) => syscallTable().has(name));

describe.skipIf(!needs.ok)(needs.title('a seccomp agent'), () => {
  const socket = path.join(makeTempDir('agent'), 'agent.sock');
  let rootfs: string;
  let agent: ChildProcessByStdio<null, Readable, null>;
  let told: AsyncIterator<string>;
  const asking = (names: string[], o: Partial<OciSeccomp> = {}): OciSeccomp => ({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names, action: 'SCMP_ACT_NOTIFY' }],
    listenerPath: socket,
    ...o,
  });
  const next = async (): Promise<Told> => JSON.parse((await told.next()).value as string) as Told;

  beforeAll(async () => {
    rootfs = await busyboxRoot();
    const script = fileURLToPath(new URL('seccomp-agent.py', import.meta.url));
    agent = spawn(host.program('python3'), [script, socket, MKDIR.map((n) => syscallNumber(n)).join()], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    told = createInterface(agent.stdout)[Symbol.asyncIterator]();
    expect((await told.next()).value).toBe('listening');
    await runContainer({ rootfs, command: ['/bin/true'] }).result();
  });
  afterAll(() => agent?.kill('SIGKILL'));

  it('gets the listener with the state of the container, and answers for its calls', async () => {
    const check = leakCheck();
    const box = await runContainer({
      rootfs,
      command: ['/bin/sh', '-c', 'mkdir /tmp/x; echo $?; sleep 600'],
      stderr: 'pipe',
      labels: { who: 'me' },
      seccomp: asking(MKDIR, { listenerMetadata: 'of the caller', flags: ['SECCOMP_FILTER_FLAG_LOG'] }),
    });
    const said = await new Promise((resolve) => box.stdout?.once('data', (data) => resolve(String(data))));
    expect(said).toBe('1\n');
    const { state, fds, more } = await next();
    expect([fds, more]).toEqual([1, 0]);
    expect(state).toEqual({
      ociVersion: expect.stringMatching(/^1\./),
      fds: ['seccompFd'],
      pid: box.pid,
      metadata: 'of the caller',
      state: {
        ociVersion: state.ociVersion,
        id: box.id,
        status: 'creating',
        pid: box.pid,
        bundle: expect.stringMatching(/^\//),
        annotations: { who: 'me' },
      },
    });
    // A further program has a filter, and a listener, of its own.
    const r = await box.exec(['/bin/mkdir', '/tmp/y']).result();
    expect([r.exitCode, r.stderr]).toEqual([1, expect.stringContaining('Read-only file system')]);
    const beside = (await next()).state;
    expect(beside).toMatchObject({ metadata: 'of the caller', state: { id: box.id, status: 'running', pid: box.pid } });
    expect(beside.pid).toBeGreaterThan(0);
    expect(beside.pid).not.toBe(box.pid);
    await box[Symbol.asyncDispose]();
    await check.assertClean({ withinMs: 20_000 });
  });

  it('is asked about the very execve that starts the program, with ctr-init before it too', async () => {
    for (const init of [false, true]) {
      const profile = asking(['execve', 'execveat', ...MKDIR]);
      const r = await runContainer({ rootfs, command: ['/bin/mkdir', '/tmp/x'], init, seccomp: profile }).result();
      expect([init, r.exitCode, r.stderr]).toEqual([init, 1, expect.stringContaining('Read-only file system')]);
      expect((await next()).state).not.toHaveProperty('metadata');
    }
  });

  it('that is away fails the start, which says so; nothing is left', async () => {
    const check = leakCheck();
    const gone = path.join(makeTempDir('away'), 'no.sock');
    for (const names of [MKDIR, ['execve']]) {
      const start = runContainer({ rootfs, command: ['/bin/sleep', '600'], seccomp: asking(names, { listenerPath: gone }) });
      await expect(start.then(() => 'started')).rejects.toMatchObject({
        message: expect.stringContaining(`hand the seccomp listener to ${gone}`),
        code: 'ENOENT',
        syscall: 'connect',
      });
    }
    await check.assertClean({ withinMs: 20_000 });
  });

  it('is not needed by a profile that asks nobody; one that asks must name it', async () => {
    const quiet = { ...asking([]), syscalls: [] };
    expect((await runContainer({ rootfs, command: ['/bin/echo', 'hi'], seccomp: quiet }).result()).stdout).toBe('hi\n');
    const { listenerPath: _, ...nobody } = asking(MKDIR);
    await expect(runContainer({ rootfs, command: ['/bin/true'], seccomp: nobody }).result()).rejects.toThrow('seccomp.listenerPath');
  });
});
