// Malicious processes without a network: nothing of the host is to be reached, by address, by name or by an abstract socket.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { host, need } from '@ctr/internal/testing';
import type { RunOptions } from '@ctr/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { must } from '../fixtures/command.js';
import { answersInside, type Call, unexpected } from './fixtures/calls.js';
import { base, cleanly, inside, rootfs, WAYS } from './fixtures/hostile.js';

const servers: Server[] = [];
let port = 0;
const abstract = `ctr-test-${process.pid}`;

/** A server of the host that would say so. */
async function serve(where: { host?: string; port?: number; path?: string }): Promise<Server> {
  const server = createServer((socket) => socket.on('error', () => {}).end('the host\n'));
  servers.push(server);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(where, resolve));
  return server;
}

const lan = Object.values(networkInterfaces())
  .flat()
  .flatMap((a) => (a !== undefined && a.family === 'IPv4' && !a.internal ? [a.address] : []));

beforeAll(async () => {
  if (!base.ok) return;
  await rootfs();
  const server = await serve({ host: '0.0.0.0', port: 0 });
  port = (server.address() as { port: number }).port;
  await serve({ path: `\0${abstract}` });
});

afterAll(async () => {
  await Promise.all(servers.map((s) => new Promise((resolve) => s.close(resolve))));
});

describe.skipIf(!base.ok).each(WAYS)(base.title('no network, for $way'), ({ options }) => {
  it('C-37 only lo exists, and nothing of the host answers', async () => {
    const targets = ['127.0.0.1', ...lan, '169.254.169.254', '10.0.2.2'];
    const script = `ls /sys/class/net; ip route; ip -6 route | grep -v '^\\(::1\\|fe80\\|local\\)'
      for t in ${targets.join(' ')}; do nc -w 1 $t ${port} </dev/null 2>/dev/null && echo "reached $t"; done
      nslookup localhost. 127.0.0.1 2>/dev/null | grep -i address; wget -q -T 1 -O - http://${lan[0] ?? '127.0.0.1'}:${port} 2>/dev/null; true`;
    expect((await cleanly(() => inside(script, options))).stdout).toBe('lo\n');
  });

  it('C-37 the same script reaches the host when the network is the host’s', async () => {
    expect((await inside(`nc -w 1 127.0.0.1 ${port} </dev/null`, { network: 'host' })).stdout).toBe('the host\n');
  });

  it('C-37 an abstract socket of the host is another one inside', async () => {
    // struct sockaddr_un: family 1, then a zero byte and the name.
    const name = Buffer.from(`\0${abstract}`);
    const address = `b0100${name.toString('hex')}`;
    // Some versions of Node bind the name as it is, some filled up with zeros.
    const connect: Call[] = [name.length + 2, 110].map((length): Call => ['connect', 'u', address, length]);
    expect(Object.values(await answersInside(connect, options))).toEqual(['ECONNREFUSED', 'ECONNREFUSED']);
    expect(Object.values(await answersInside(connect, { network: 'host' }))).toContain(0);
  });
});

// There is no network of our own making yet. What a container can do to one is tried on what a caller can give it today: the network
// namespace of his, with one end of a cable in it.
const NEIGHBOUR = '10.98.76.1';
const OWN = '10.98.76.2';
const MAC = '02:00:00:00:76:02';

/** A process that is in a network namespace of its own, until it is killed. */
async function newNetwork(): Promise<{ pid: number; process: ChildProcess }> {
  const child = spawn('unshare', ['-n', 'sh', '-c', 'echo made; exec sleep 1000'], { stdio: ['ignore', 'pipe', 'ignore'] });
  await new Promise((resolve, reject) => child.once('error', reject).stdout.once('data', resolve));
  return { pid: child.pid ?? 0, process: child };
}

const within = (pid: number, line: string) => must('nsenter', ['-t', String(pid), '-n', 'sh', '-ec', line]);

host.define('veth', {
  test: () => spawnSync('unshare', ['-n', 'ip', 'link', 'add', 'end', 'type', 'veth', 'peer', 'name', 'far']).status === 0,
  cure: 'run as root, with iproute2 and the kernel module veth',
});
const cable = need('root', 'veth');

describe.skipIf(!base.ok || !cable.ok)(cable.title(base.title('a network that was given')), () => {
  const networks: Awaited<ReturnType<typeof newNetwork>>[] = [];
  let [near, far] = [0, 0];
  let given: RunOptions = {};

  beforeAll(async () => {
    networks.push(await newNetwork(), await newNetwork());
    [near, far] = networks.map((n) => n.pid) as [number, number];
    await within(near, `ip link add end type veth peer name far; ip link set end address ${MAC}; ip link set far netns ${far}`);
    // A network of IPv4 alone.
    await within(
      near,
      `echo 1 >/proc/sys/net/ipv6/conf/end/disable_ipv6; ip addr add ${OWN}/24 dev end; ip link set end up; ip link set lo up`,
    );
    await within(far, `ip addr add ${NEIGHBOUR}/24 dev far; ip link set far up; ip link set lo up`);
    // Its fe80:: address is tentative until nobody has said within seconds that it is his (RFC 4862, 5.4).
    await within(far, 'until [ -z "$(ip -6 addr show tentative)" ]; do sleep 0.1; done');
    given = { namespaces: { network: `/proc/${near}/ns/net` } };
  });

  afterAll(async () => {
    for (const { process: child } of networks) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
  });

  const facts = (pid: number): Promise<string> =>
    within(
      pid,
      'ip -o link; ip -o addr; ip route; ip -6 route; cat /proc/sys/net/ipv4/conf/*/route_localnet /proc/sys/net/ipv6/conf/*/accept_ra',
    );

  describe.each(WAYS)('$way', ({ options }) => {
    it('C-38 is used with the addresses that it has: no others are taken, sent or written down', async () => {
      const before = [await facts(near), await facts(far)];
      const raw: Call[] = [
        // SOCK_RAW of AF_INET: all, ICMP; of AF_INET6: ICMPv6, which neighbours and routers are announced by.
        ['socket', 2, 3, 255],
        ['socket', 2, 3, 1],
        ['socket', 10, 3, 58],
      ];
      expect(unexpected(await answersInside(raw, { ...options, ...given }), 'EPERM')).toEqual({});
      const frames: Call[] = [3, 2, 10].map((type) => ['socket', 17, type, 0x0300]);
      expect(unexpected(await answersInside(frames, { ...options, ...given }), 'EAFNOSUPPORT')).toEqual({});
      const script = `try() { "$@" 2>/dev/null && echo "let: $*"; }
        try ifconfig end hw ether 02:00:00:00:76:09; try ip link set end address 02:00:00:00:76:09; try ip link set end down
        try ip addr add 10.98.76.9/24 dev end; try ip -6 addr add fd00::9/64 dev end; try ip addr del ${OWN}/24 dev end
        try ip route add 127.9.0.0/16 via ${NEIGHBOUR}; try ip route add default via ${NEIGHBOUR}; try ip neigh add ${NEIGHBOUR} lladdr ${MAC} dev end
        try arping -c 1 -w 1 -I end ${NEIGHBOUR}; try arping -c 1 -w 1 -U -I end ${NEIGHBOUR}; try ip link add made type dummy
        for f in /proc/sys/net/ipv4/conf/*/route_localnet /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/rp_filter; do
          try sh -c "echo 1 >$f"; done
        nc -w 1 ${NEIGHBOUR} 9 </dev/null 2>/dev/null; ping -c 1 -W 1 ${NEIGHBOUR} >/dev/null 2>&1; echo done`;
      expect((await cleanly(() => inside(script, { ...options, ...given }))).stdout).toBe('done\n');
      expect([await facts(near), await facts(far)]).toEqual(before);
      // What the neighbour learned of who is there is true.
      expect(await within(far, `ip neigh show ${OWN}`)).toContain(MAC);
      expect((await within(far, 'ip neigh show')).trim().split('\n')).toHaveLength(1);
    });

    it('C-38 does not lead to what the neighbour keeps for himself', async () => {
      // Listens on 127.0.0.1 there; says so once it does.
      const server = spawn('nsenter', ['-t', String(far), '-n', process.execPath, '-e', SERVER], { stdio: ['ignore', 'pipe', 'inherit'] });
      const gone = new Promise((resolve) => server.once('exit', resolve));
      try {
        const at = await new Promise<number>((resolve) => server.stdout.once('data', (d) => resolve(Number(d))));
        const script = `for t in 127.0.0.1 ${NEIGHBOUR} ${OWN}; do nc -w 1 $t ${at} </dev/null 2>/dev/null; done; true`;
        expect((await inside(script, { ...options, ...given })).stdout).toBe('');
        expect((await inside(`nc -w 1 127.0.0.1 ${at} </dev/null`, { namespaces: { network: `/proc/${far}/ns/net` } })).stdout).toBe(
          'private\n',
        );
      } finally {
        server.kill('SIGKILL');
        await gone;
      }
    });

    it('C-39 of IPv4 alone gets no IPv6, and nobody inside changes that or what is heard of routers', async () => {
      const script = `ip -o -6 addr show dev end; cat /proc/sys/net/ipv6/conf/end/disable_ipv6
        for f in /proc/sys/net/ipv6/conf/*/disable_ipv6 /proc/sys/net/ipv6/conf/*/accept_ra /proc/sys/net/ipv6/conf/*/forwarding; do
          sh -c "echo 2 >$f" 2>/dev/null && echo "let: $f"; done; ip -o -6 addr show dev end; echo done`;
      expect((await cleanly(() => inside(script, { ...options, ...given }))).stdout).toBe('1\ndone\n');
    });
  });
});

const SERVER =
  "require('net').createServer((s) => s.on('error', () => {}).end('private\\n')).listen(0, '127.0.0.1', function () { console.log(this.address().port); })";
