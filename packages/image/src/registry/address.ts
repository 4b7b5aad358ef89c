// Where a host name leads: a registry must not be able to send us to services that only this machine or its network can reach.
import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ImageError } from '@ctr/internal/errors';

/** How far away an address is. `never`: link-local (cloud metadata), multicast, unspecified, reserved. */
export type Reach = 'public' | 'private' | 'loopback' | 'never';

const LISTS: readonly (readonly [Reach, BlockList])[] = [
  ['loopback', list(['127.0.0.0/8', '::1/128'])],
  [
    'never',
    list(['0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '224.0.0.0/4', '240.0.0.0/4', '::/128', 'fe80::/10', 'ff00::/8', '100::/64']),
  ],
  // Private use, carrier NAT, benchmarking, site-local; and the tunnels 6to4 and Teredo, which can carry any of the above.
  [
    'private',
    list([
      '10.0.0.0/8',
      '172.16.0.0/12',
      '192.168.0.0/16',
      '100.64.0.0/10',
      '198.18.0.0/15',
      'fc00::/7',
      'fec0::/10',
      '2002::/16',
      '2001::/32',
    ]),
  ],
];

function list(subnets: string[]): BlockList {
  const blocks = new BlockList();
  for (const subnet of subnets) {
    const [net = '', bits] = subnet.split('/');
    blocks.addSubnet(net, Number(bits), net.includes(':') ? 'ipv6' : 'ipv4');
  }
  return blocks;
}

/** The IPv4 address inside an IPv4-mapped or NAT64 address: `::ffff:7f00:1` is 127.0.0.1. */
function embeddedV4(address: string): string | undefined {
  // The URL parser writes every IPv6 address in one form, whatever form it came in.
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1);
  const match = /^(?:::ffff:|64:ff9b::)(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})$/.exec(canonical);
  if (match === null) return undefined;
  const [high, low] = [Number.parseInt(match[1] ?? '0', 16), Number.parseInt(match[2] ?? '0', 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/** Classes one IP address; what is no address is `never`. */
export function reachOf(address: string): Reach {
  const bare = address.replace(/%.*$/, '');
  const family = isIP(bare);
  if (family === 0) return 'never';
  const v4 = family === 6 ? embeddedV4(bare) : bare;
  const [plain, type] = v4 === undefined ? ([bare, 'ipv6'] as const) : ([v4, 'ipv4'] as const);
  return LISTS.find(([, blocks]) => blocks.check(plain, type))?.[0] ?? 'public';
}

/** True for hosts that are this machine by name or number: plain http is the rule there. */
export function isLoopbackHost(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '');
  return bare === 'localhost' || bare.endsWith('.localhost') || reachOf(bare) === 'loopback';
}

/** Decides about the address that is really connected to, so that a second DNS answer cannot differ from the checked one. */
export type AddressGuard = (address: string) => Error | undefined;

/**
 * Allows public addresses, and those as near as the registry itself: a registry on this machine may keep its blobs on this
 * machine, one in the private network there.
 */
export function guardFor(registry: Reach, what: string): AddressGuard {
  return (address) => {
    const reach = reachOf(address);
    if (reach === 'public' || (reach === registry && registry !== 'never')) return undefined;
    return new ImageError(
      'CTR_IMAGE_REGISTRY',
      `${what} leads to the ${reach === 'never' ? 'reserved' : reach} address ${address}: refused`,
      undefined,
      {
        hint: 'if that is right, name its origin in the trustedOrigins option',
      },
    );
  };
}

/** A `lookup` for node:http that applies the guard to every address of the name. */
export function guardedLookup(guard: AddressGuard): LookupFunction {
  return (hostname, options, callback) => {
    lookup(hostname, { ...options, all: true }, (error, found: LookupAddress[]) => {
      const refused = error ?? found.map((a) => guard(a.address)).find((e) => e !== undefined);
      if (refused) return callback(refused as NodeJS.ErrnoException, []);
      if (options.all) return callback(null, found);
      const [first] = found;
      callback(null, first?.address ?? '', first?.family);
    });
  };
}
