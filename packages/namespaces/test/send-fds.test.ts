// Descriptors sent to somebody else's server, which reads what they are of.
import { spawn as spawnChild, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { host, makeTempDir, need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { Fd, sendFds } from '../src/index.js';
import { leaks, shell } from './run.js';

host.define('python3', {
  test: () => spawnSync(host.program('python3'), ['-c', 'import socket; socket.recv_fds']).status === 0,
  cure: 'on Debian: apt-get install python3 (3.9)',
});
const needs = need('linux', 'python3');

/** Takes one message and prints it with what its descriptors are of. */
const SERVER = `
import os, socket, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(sys.argv[1].replace("@", "\\0", 1) if sys.argv[1].startswith("@") else sys.argv[1])
server.listen(1)
print("listening", end="", flush=True)
connection, _ = server.accept()
data, fds, flags, _ = socket.recv_fds(connection, 100000, 40)
while len(data) < int(sys.argv[2]): data += connection.recv(100000)
print(data.decode()[:20], len(data), [os.read(fd, 100).decode() for fd in fds], connection.recv(1))`;

describe.skipIf(!needs.ok)(needs.title('sendFds'), () => {
  async function received(name: string, size: number, send: () => Promise<void>): Promise<string> {
    const server = spawnChild(host.program('python3'), ['-c', SERVER, name, String(size)], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await once(server.stdout, 'data');
      const said = text(server.stdout);
      await send();
      return await said;
    } finally {
      server.kill('SIGKILL');
    }
  }

  it('sends bytes and descriptors to a path and to an abstract name, and keeps what is the caller’s', async () => {
    await shell('true');
    const dir = makeTempDir('send');
    const fds = ['one', 'two'].map((name) => {
      writeFileSync(path.join(dir, name), name);
      return Fd.of(openSync(path.join(dir, name), 'r'));
    });
    const check = leaks();
    const socket = path.join(dir, 'socket');
    expect(await received(socket, 5, () => sendFds(socket, Buffer.from('hello'), fds))).toBe("hello 5 ['one', 'two'] b''\n");
    const abstract = `ctr-test-send-${process.pid}`;
    const large = Buffer.alloc(32_768, 'x');
    const [first] = fds as [Fd];
    using again = Fd.of(openSync(path.join(dir, 'one'), 'r'));
    expect(await received(`@${abstract}`, large.length, () => sendFds(`\0${abstract}`, large, [again]))).toBe(
      `${'x'.repeat(20)} 32768 ['one'] b''\n`,
    );
    expect(first.closed).toBe(false);
    again.close();
    await check.assertClean({ withinMs: 10_000 });
    for (const fd of fds) fd.close();
  });

  it('says who could not be reached, and refuses what cannot be sent', async () => {
    using fd = Fd.of(openSync('/dev/null', 'r'));
    const gone = path.join(makeTempDir('send'), 'nobody');
    await expect(sendFds(gone, Buffer.from('x'), [fd])).rejects.toMatchObject({
      name: 'SyscallError',
      code: 'ENOENT',
      syscall: 'connect',
      message: expect.stringContaining(`send descriptors to ${gone}`),
    });
    await expect(sendFds(gone, Buffer.alloc(0), [fd])).rejects.toThrow('"data"');
    await expect(sendFds(gone, Buffer.alloc(40_000), [fd])).rejects.toThrow('"data"');
    await expect(sendFds(gone, Buffer.from('x'), [])).rejects.toThrow('"fds"');
    await expect(sendFds('relative', Buffer.from('x'), [fd])).rejects.toThrow('absolute');
  });
});
