// Node's own servers and sockets, in another network namespace.
import { createSocket, type SocketOptions as DatagramOptions, type Socket as DatagramSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server, type ServerOpts, Socket } from 'node:net';
import { InvalidArgumentError } from '@ctr/internal/errors';
import type { NamespaceSource } from '../namespaces/namespace.js';
import { socketIn } from './socket-in.js';

/** Where a server listens inside: an IP address and port, or the path or abstract name of a unix socket. */
export interface ListenAddress {
  /** An IP address; default '::', which takes IPv4 too. */
  host?: string;
  /** Default 0: any free one, see `server.address()`. */
  port?: number;
  /** Of a unix socket, instead of host and port; one that begins with a NUL character is a name of the namespace. */
  path?: string;
  /** Waiting connections; default 511, as Node's. */
  backlog?: number;
}

const BACKLOG = 511;

/**
 * A `net.Server` that listens in another network namespace, while its program runs here.
 *
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; SyscallError EADDRINUSE, EADDRNOTAVAIL, EPERM …
 * @example
 * ```ts
 * const server = await listenIn(box, { host: '127.0.0.1', port: 8080 })
 * server.on('connection', (socket) => socket.end('hello from outside\n'))
 * ```
 */
export async function listenIn(netns: NamespaceSource, address: ListenAddress = {}, options: ServerOpts = {}): Promise<Server> {
  const { path, host = '::', port = 0, backlog = BACKLOG } = address;
  const family = path !== undefined ? 'unix' : isIPv6(host) ? 'inet6' : 'inet';
  const fd = await socketIn(netns, { family, bind: path === undefined ? { host, port } : { path }, listen: backlog });
  const server = createServer(options);
  const listening = once(server, 'listening');
  server.listen({ fd: fd.release() });
  await listening;
  return server;
}

/** Where to connect to: an IP address, since names would be looked up outside, or the name of a unix socket. */
export interface ConnectAddress {
  host?: string;
  port?: number;
  /** Of a unix socket, instead of host and port. */
  path?: string;
}

/**
 * Connects from another network namespace: to what listens there, also on its loopback interface.
 *
 * @returns The connected socket.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; SyscallError, or Node's own error of the connection: ECONNREFUSED …
 * @example
 * ```ts
 * const socket = await connectIn(box, { host: '127.0.0.1', port: 80 })
 * ```
 */
export async function connectIn(netns: NamespaceSource, address: ConnectAddress, options: { signal?: AbortSignal } = {}): Promise<Socket> {
  const { host = '127.0.0.1', port, path } = address;
  if (path === undefined && (port === undefined || !Number.isInteger(port))) throw new InvalidArgumentError('port', 'a port', port);
  options.signal?.throwIfAborted();
  if (path !== undefined) return new Socket({ fd: (await socketIn(netns, { family: 'unix', connect: { path } })).release() });
  const fd = await socketIn(netns, { family: isIPv6(host) ? 'inet6' : 'inet' });
  // Reading begins with the connection: before, there is none to read from.
  const socket = new Socket({ fd: fd.release(), manualStart: true } as ConstructorParameters<typeof Socket>[0]);
  const connected = once(socket, 'connect', options);
  socket.connect({ host, port: port as number });
  try {
    await connected;
  } catch (e) {
    socket.destroy();
    throw e;
  }
  return socket;
}

/**
 * A `dgram.Socket` that is bound in another network namespace.
 *
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; SyscallError EADDRINUSE, EPERM …
 * @example
 * ```ts
 * const socket = await bindIn(box, { type: 'udp4' }, { host: '127.0.0.1', port: 53 })
 * ```
 */
export async function bindIn(
  netns: NamespaceSource,
  options: DatagramOptions = { type: 'udp4' },
  address: { host?: string; port?: number } = {},
): Promise<DatagramSocket> {
  const family = options.type === 'udp6' ? 'inet6' : 'inet';
  const fd = await socketIn(netns, { family, type: 'dgram', bind: address, ...(options.ipv6Only ? { v6Only: true } : {}) });
  const socket = createSocket(options);
  // Told before bind() returns.
  const listening = once(socket, 'listening');
  socket.bind({ fd: fd.release() });
  await listening;
  return socket;
}
