// Socket addresses as the kernel takes them: ip(7), ipv6(7), unix(7).
import { isIP } from 'node:net';
import { InvalidArgumentError } from '@ctr/internal/errors';

export const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 } as const;
export type SocketFamily = keyof typeof AF;

/** Where a socket is bound. */
export type SocketAddress =
  | { /** An IP address; default: any of the namespace. */ host?: string /** Default 0: any free one. */; port?: number }
  | { /** A path; one that begins with a NUL character is a name in the network namespace instead. */ path: string };

const MAX_PATH = 107;

function inet(host: string, port: number): Uint8Array {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF.inet, 0);
  bytes.writeUInt16BE(port, 2);
  host.split('.').forEach((part, i) => {
    bytes[4 + i] = Number(part);
  });
  return bytes;
}

/** The sixteen bytes of an address that isIP knows as version 6. */
function parseInet6(host: string): Uint8Array {
  // A dotted end stands for two groups.
  const text = host.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) =>
    [(Number(a) << 8) | Number(b), (Number(c) << 8) | Number(d)].map((n) => n.toString(16)).join(':'),
  );
  const [head = '', tail] = text.split('::');
  const groups = (part: string | undefined): number[] => (part ? part.split(':').map((g) => Number.parseInt(g, 16)) : []);
  const [before, after] = [groups(head), groups(tail)];
  const all = [...before, ...new Array<number>(tail === undefined ? 0 : 8 - before.length - after.length).fill(0), ...after];
  const bytes = Buffer.alloc(16);
  all.forEach((group, i) => {
    bytes.writeUInt16BE(group, i * 2);
  });
  return bytes;
}

function inet6(host: string, port: number): Uint8Array {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF.inet6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(parseInet6(host), 8);
  return bytes;
}

function unix(path: string): Uint8Array {
  const name = Buffer.from(path);
  if (name.length === 0 || name.length > MAX_PATH) throw new InvalidArgumentError('bind.path', `1 to ${MAX_PATH} bytes`, path);
  const abstract = name[0] === 0;
  if (!abstract && (name.includes(0) || name[0] !== 0x2f))
    throw new InvalidArgumentError('bind.path', 'an absolute path, or a name after a NUL', path);
  const bytes = Buffer.alloc(2 + name.length + (abstract ? 0 : 1));
  bytes.writeUInt16LE(AF.unix, 0);
  bytes.set(name, 2);
  return bytes;
}

/** struct sockaddr of the family; the text is for messages. @throws InvalidArgumentError */
export function encodeAddress(family: SocketFamily, address: SocketAddress): { bytes: Uint8Array; text: string } {
  if (typeof address !== 'object' || address === null) throw new InvalidArgumentError('bind', 'an address', address);
  if ('path' in address) {
    if (family !== 'unix' || typeof address.path !== 'string')
      throw new InvalidArgumentError('bind.path', 'given for a unix socket only', address.path);
    return { bytes: unix(address.path), text: JSON.stringify(address.path) };
  }
  const { host, port = 0 } = address;
  if (family !== 'inet' && family !== 'inet6') throw new InvalidArgumentError('bind', `an address of the family ${family}`, address);
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new InvalidArgumentError('bind.port', 'a port from 0 to 65535', port);
  const wanted = family === 'inet' ? 4 : 6;
  const at = host ?? (family === 'inet' ? '0.0.0.0' : '::');
  if (typeof at !== 'string' || isIP(at) !== wanted || at.includes('%'))
    throw new InvalidArgumentError('bind.host', `an address of IP version ${wanted}; names are not looked up`, host);
  return { bytes: family === 'inet' ? inet(at, port) : inet6(at, port), text: family === 'inet' ? `${at}:${port}` : `[${at}]:${port}` };
}
