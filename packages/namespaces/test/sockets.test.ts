// Sockets that were born in another network namespace, in Node's own hands.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { need } from '@ctr/internal/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bindIn, type ContainerProcess, connectIn, listenIn, namespacesOf, openNamespace, socketIn, spawn } from '../src/index.js';
import { ENV, leaks, messageOf, runInside, shell, WAYS } from './run.js';

const needs = need('userns');
const busybox = need('userns', 'busybox');
const IGNORE = ['ignore', 'ignore', 'ignore'] as const;

describe.skipIf(!needs.ok)(needs.title('sockets in another network namespace'), () => {
  describe.each(WAYS)('$way', ({ user }) => {
    let box: ContainerProcess;
    beforeAll(async () => {
      box = await spawn({ args: ['sleep', '600'], env: ENV, namespaces: { user, network: 'new', pid: 'new' }, stdio: IGNORE });
    });
    afterAll(() => box?.[Symbol.asyncDispose]());

    it('a server here is reached from there, and not from here', async () => {
      const server = await listenIn(box, { host: '127.0.0.1', port: 8080 });
      server.on('connection', (s: Socket) => s.end('hello'));
      expect(server.address()).toEqual({ address: '127.0.0.1', family: 'IPv4', port: 8080 });
      const client = await connectIn(box, { host: '127.0.0.1', port: 8080 });
      expect(await text(client)).toBe('hello');
      // The same address is free here: it is another network.
      const own = createServer().listen(8080, '127.0.0.1');
      await once(own, 'listening').catch(() => {});
      own.close();
      server.close();
      await once(server, 'close');
    });

    it.skipIf(!busybox.ok)('a program inside talks to it', async () => {
      const server = await listenIn(box, { port: 7 });
      server.on('connection', (s: Socket) => s.end('from outside'));
      const r = await runInside(box, { args: ['busybox', 'nc', '127.0.0.1', '7'] });
      server.close();
      expect(r).toMatchObject({ exitCode: 0, stdout: 'from outside' });
    });

    it('connects to what listens there, both ways', async () => {
      const server = await listenIn(box, { host: '::1', port: 0 });
      const { port } = server.address() as { port: number };
      const accepted = once(server, 'connection');
      const client = await connectIn(box, { host: '::1', port });
      const [peer] = (await accepted) as [Socket];
      client.write('ping');
      expect(String((await once(peer, 'data'))[0])).toBe('ping');
      expect([client.remoteAddress, client.remotePort, client.remoteFamily]).toEqual(['::1', port, 'IPv6']);
      peer.end('pong');
      expect(await text(client)).toBe('pong');
      server.close();
    });

    it('says when nobody listens', async () => {
      expect(await messageOf(connectIn(box, { port: 1 }))).toBe('connect ECONNREFUSED 127.0.0.1:1');
      const signal = AbortSignal.abort();
      expect(await messageOf(connectIn(box, { port: 1 }, { signal }))).toMatch(/abort/i);
    });

    it('datagrams', async () => {
      const a = await bindIn(box, { type: 'udp4' }, { host: '127.0.0.1', port: 5353 });
      const b = await bindIn(box, { type: 'udp4' }, { host: '127.0.0.1' });
      b.send('question', 5353, '127.0.0.1');
      const [message, from] = (await once(a, 'message')) as [Buffer, { port: number }];
      expect([String(message), from.port]).toEqual(['question', b.address().port]);
      a.close();
      b.close();
    });

    it('an abstract name is a name of that namespace', async () => {
      const path = `\0ctr-${process.pid}`;
      const server = await listenIn(box, { path });
      server.on('connection', (s: Socket) => s.end('there'));
      expect(await text(await connectIn(box, { path }))).toBe('there');
      expect(await messageOf(connectIn(process.pid, { path }))).toMatch(/ECONNREFUSED/);
      server.close();
    });

    it('any socket: netlink shows the links of the namespace', async () => {
      using socket = await socketIn(box, { family: 'netlink', type: 'raw' });
      expect(await shell(`readlink /proc/${process.pid}/fd/${socket.fd}`)).toMatch(/^socket:/);
    });

    it('by a pinned namespace, when its processes are gone', async () => {
      const short = await spawn({ args: ['sleep', '600'], env: ENV, namespaces: { user, network: 'new' }, stdio: IGNORE });
      using netns = openNamespace(short, 'network');
      await short[Symbol.asyncDispose]();
      const server = await listenIn(netns, { host: '127.0.0.1' });
      server.on('connection', (s: Socket) => s.end('still'));
      const { port } = server.address() as { port: number };
      expect(await text(await connectIn(netns, { port }))).toBe('still');
      server.close();
    });

    it('errors are those of the call', async () => {
      const server = await listenIn(box, { host: '127.0.0.1', port: 90 });
      expect(await messageOf(listenIn(box, { host: '127.0.0.1', port: 90 }))).toMatchInlineSnapshot(
        `"make a socket in another network namespace: bind to 127.0.0.1:90: bind: EADDRINUSE (address already in use)"`,
      );
      expect(await messageOf(listenIn(box, { host: '192.0.2.1', port: 90 }))).toMatch(/bind: EADDRNOTAVAIL/);
      server.close();
      const error = await listenIn(box, { host: '192.0.2.1' }).catch((e: unknown) => e);
      expect(error).toMatchObject({ name: 'SyscallError', code: 'EADDRNOTAVAIL', syscall: 'bind' });
    });

    it('leaves nothing, and Node and the monitor where they were', async () => {
      const before = namespacesOf();
      (await socketIn(box)).close();
      const check = leaks();
      for (let i = 0; i < 10; i++) (await socketIn(box, { bind: {}, listen: 1 })).close();
      await Promise.all(Array.from({ length: 10 }, async () => (await socketIn(box, { type: 'dgram' })).close()));
      await messageOf(socketIn(box, { bind: { host: '192.0.2.1' } }));
      await check.assertClean();
      expect(namespacesOf()).toEqual(before);
      expect(await shell('readlink /proc/self/ns/net')).toBe(`net:[${before.network}]`);
    });
  });

  it('bad options are refused before anything is made', async () => {
    expect([
      await messageOf(socketIn(process.pid, { bind: { host: 'localhost' } })),
      await messageOf(socketIn(process.pid, { family: 'inet6', bind: { host: '127.0.0.1' } })),
      await messageOf(socketIn(process.pid, { bind: { port: 70_000 } })),
      await messageOf(socketIn(process.pid, { bind: { path: '/x' } })),
      await messageOf(socketIn(process.pid, { family: 'unix', bind: { path: 'relative' } })),
      await messageOf(socketIn(process.pid, { family: 'ipx' as 'inet' })),
      await messageOf(socketIn(process.pid, { listen: -1 })),
    ]).toMatchInlineSnapshot(`
      [
        "expected "bind.host" to be an address of IP version 4; names are not looked up, received "localhost" (string)",
        "expected "bind.host" to be an address of IP version 6; names are not looked up, received "127.0.0.1" (string)",
        "expected "bind.port" to be a port from 0 to 65535, received 70000 (number)",
        "expected "bind.path" to be given for a unix socket only, received "/x" (string)",
        "expected "bind.path" to be an absolute path, or a name after a NUL, received "relative" (string)",
        "expected "family" to be one of unix, inet, inet6, netlink, received "ipx" (string)",
        "expected "listen" to be a number from 0 to 65535, received -1 (number)",
      ]
    `);
  });
});
