// A socket belongs for ever to the network namespace in which it was made (network_namespaces(7)). So a process that is
// made for this goes there, makes it and hands it back: Node never joins a namespace, and uses the socket like any other.
import { assertLinux, InvalidArgumentError, SyscallError } from '@ctr/internal/errors';
import type { Fd } from '@ctr/internal/fd';
import { named, type Step, slot } from '@ctr/internal/steps';
import { runErrand } from '../namespaces/errand.js';
import { namespacesOf } from '../namespaces/list.js';
import { type Namespace, type NamespaceSource, openNamespace } from '../namespaces/namespace.js';
import { CLONE_FLAGS } from '../plan/clone-flags.js';
import { AF, encodeAddress, type SocketAddress, type SocketFamily } from './address.js';

/** What {@link socketIn} makes. */
export interface SocketOptions {
  /** Default 'inet'. */
  family?: SocketFamily;
  /** Default 'stream'. */
  type?: 'stream' | 'dgram' | 'raw' | 'seqpacket';
  /** Of the family, such as 0 (NETLINK_ROUTE) for 'netlink'; default 0. */
  protocol?: number;
  /** Bound to this; default: not bound. */
  bind?: SocketAddress;
  /** Connected to this; for unix sockets, whose connection never waits. Others connect later, see `connectIn`. */
  connect?: { path: string };
  /** Listens, with room for so many waiting connections; default: does not. */
  listen?: number;
  /** More than one process may serve the same address (SO_REUSEPORT); default false. */
  reusePort?: boolean;
  /** An IPv6 socket takes no IPv4 (IPV6_V6ONLY); default false. */
  v6Only?: boolean;
}

const TYPES = { stream: 1, dgram: 2, raw: 3, seqpacket: 5 } as const;
const SOCK_CLOEXEC = 0x80000;
const SOCKET = 'socket';
const MAX_BACKLOG = 65_535;

const setns = (from: string, flag: 'CLONE_NEWUSER' | 'CLONE_NEWNET'): Step => ({
  call: 'setns',
  args: [slot(from), named(CLONE_FLAGS[flag] as number, flag)],
  doing: flag === 'CLONE_NEWNET' ? 'join the network namespace' : 'join the user namespace that owns it',
});

function option(level: [number, string], name: [number, string]): Step {
  const one = Buffer.alloc(4);
  one.writeInt32LE(1);
  return {
    call: 'setsockopt',
    args: [slot(SOCKET), named(...level), named(...name), { bytes: one, text: '[1]' }, 4],
    doing: `set ${name[1]}`,
  };
}

function makeSteps(o: SocketOptions): Step[] {
  const { family = 'inet', type = 'stream', protocol = 0, bind, listen } = o;
  if (!(family in AF)) throw new InvalidArgumentError('family', `one of ${Object.keys(AF).join(', ')}`, family);
  if (!(type in TYPES)) throw new InvalidArgumentError('type', `one of ${Object.keys(TYPES).join(', ')}`, type);
  if (!Number.isInteger(protocol) || protocol < 0 || protocol > 255)
    throw new InvalidArgumentError('protocol', 'a number from 0 to 255', protocol);
  if (listen !== undefined && (!Number.isInteger(listen) || listen < 0 || listen > MAX_BACKLOG))
    throw new InvalidArgumentError('listen', `a number from 0 to ${MAX_BACKLOG}`, listen);
  const steps: Step[] = [
    {
      call: 'socket',
      args: [
        named(AF[family], `AF_${family.toUpperCase()}`),
        named(TYPES[type] | SOCK_CLOEXEC, `SOCK_${type.toUpperCase()}|SOCK_CLOEXEC`),
        protocol,
      ],
      into: SOCKET,
      doing: 'make a socket',
    },
  ];
  const ip = family === 'inet' || family === 'inet6';
  // As Node does for its own servers: an address whose last connections are still closing can be taken again.
  if (ip && listen !== undefined) steps.push(option([1, 'SOL_SOCKET'], [2, 'SO_REUSEADDR']));
  if (o.reusePort) steps.push(option([1, 'SOL_SOCKET'], [15, 'SO_REUSEPORT']));
  if (o.v6Only) steps.push(option([41, 'IPPROTO_IPV6'], [26, 'IPV6_V6ONLY']));
  if (bind !== undefined) {
    const address = encodeAddress(family, bind);
    steps.push({ call: 'bind', args: [slot(SOCKET), address, address.bytes.length], doing: `bind to ${address.text}` });
  }
  if (listen !== undefined) steps.push({ call: 'listen', args: [slot(SOCKET), listen], doing: 'listen' });
  if (o.connect !== undefined) {
    const address = encodeAddress(family, o.connect);
    steps.push({ call: 'connect', args: [slot(SOCKET), address, address.bytes.length], doing: `connect to ${address.text}` });
  }
  return steps;
}

/** The owner of the namespace where it is not this process's own user namespace: only in there is the right to join. */
function foreignOwner(network: Namespace): Namespace | undefined {
  const owner = network.owner();
  if (owner === null) return undefined;
  if (owner.id !== namespacesOf().user) return owner;
  owner.close();
  return undefined;
}

/**
 * Makes a socket in another network namespace. It stays there, whoever uses it: give its number to `net.Server.listen({ fd })`,
 * `dgram.Socket.bind({ fd })`, or take `listenIn`, `connectIn`, `bindIn`, which do.
 *
 * @param netns A process or container, a pid, a path such as /run/netns/blue, or a descriptor.
 * @throws InvalidArgumentError CTR_INVALID_ARGUMENT; SyscallError, as of the call that failed: EADDRINUSE, EPERM …
 * @see <https://man7.org/linux/man-pages/man7/network_namespaces.7.html>
 * @example
 * ```ts
 * using socket = await socketIn(box, { bind: { host: '127.0.0.1', port: 8080 }, listen: 511 })
 * const server = net.createServer().listen({ fd: socket.release() })
 * ```
 */
export async function socketIn(netns: NamespaceSource, options: SocketOptions = {}): Promise<Fd> {
  const steps = makeSteps(options);
  assertLinux('socketIn()');
  const doing = 'make a socket in another network namespace';
  using network = openNamespace(netns, 'network');
  const here = network.id === namespacesOf().network;
  using owner = here ? undefined : foreignOwner(network);
  const [socket] = await runErrand({
    doing,
    fds: { network: network.fd, ...(owner ? { owner: owner.fd } : {}) },
    steps: [...(owner ? [setns('owner', 'CLONE_NEWUSER')] : []), ...(here ? [] : [setns('network', 'CLONE_NEWNET')]), ...steps],
    give: [SOCKET],
  });
  if (socket === undefined) throw new SyscallError({ errno: 104, syscall: 'recvmsg', doing });
  return socket;
}
