// Malicious processes without a network: nothing of the host is to be reached, by address, by name or by an abstract socket.
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { answersInside, type Call } from './fixtures/calls.js';
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
