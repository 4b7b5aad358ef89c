// Which proxy a request goes through: HTTP_PROXY, HTTPS_PROXY and NO_PROXY with the meaning that Docker's programs give them.
// The npm packages that read these variables take "example.com" in NO_PROXY for one host and know no networks; Go, and so every
// registry client, takes it for the domain with all below it, and "10.0.0.0/8" for a network.
import { BlockList, isIP } from 'node:net';
import { ImageError } from '@ctr/internal/errors';
import { isLoopbackHost } from './address.js';
import { parseUrl } from './parse-url.js';

/** The proxy for one URL; undefined for none. */
export type ProxyFor = (url: URL) => URL | undefined;

/** Reads the environment once, when a client is made. `proxy`: one for everything, or false for none. */
export function proxyRules(proxy: string | false | undefined, env: NodeJS.ProcessEnv = process.env): ProxyFor {
  if (proxy === false) return () => undefined;
  const read = (name: string): string | undefined => env[name.toUpperCase()] || env[name] || undefined;
  // A CGI program gets the header "Proxy" of its caller as HTTP_PROXY (CVE-2016-5386).
  const plain = env['REQUEST_METHOD'] === undefined ? read('http_proxy') : undefined;
  const [http, https] = proxy === undefined ? [plain, read('https_proxy')] : [proxy, proxy];
  const excepted = exceptions(read('no_proxy') ?? '');
  return (url) => {
    const chosen = url.protocol === 'https:' ? https : http;
    // As in Go: this machine is never reached through a proxy.
    if (chosen === undefined || isLoopbackHost(url.hostname) || excepted(url)) return undefined;
    return parseProxy(chosen);
  };
}

/** `http://user:password@host:port`, `https://…`, or `host:port`. */
export function parseProxy(text: string): URL {
  const full = /^[a-z0-9+.-]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = parseUrl(full);
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url;
  // SECURITY: the text may hold a password.
  throw new ImageError('CTR_IMAGE_REGISTRY', 'the proxy that is set for registries is no http: or https: URL', undefined, {
    hint: 'look at HTTP_PROXY and HTTPS_PROXY, or pass the proxy option',
  });
}

/** SPEC(golang.org/x/net/http/httpproxy): `*`, `host`, `.domain`, `*.domain`, `address`, `network/bits`, each with an optional port. */
function exceptions(list: string): (url: URL) => boolean {
  const tests = list.split(/[\s,]+/).flatMap((entry) => (entry === '' ? [] : [exception(entry.toLowerCase())]));
  return (url) => {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    return tests.some((test) => test(host, port));
  };
}

function exception(entry: string): (host: string, port: string) => boolean {
  if (entry === '*') return () => true;
  const network = /^(.+)\/(\d{1,3})$/.exec(entry);
  if (network !== null && isIP(network[1] as string) !== 0) return inNetwork(network[1] as string, Number(network[2]));
  const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*|.*:.*:.*))(?::(\d+))?$/.exec(entry) ?? [];
  const name = bracketed ?? plain ?? entry;
  const samePort = (p: string): boolean => port === undefined || p === port;
  if (name.startsWith('.') || name.startsWith('*.')) {
    const domain = name.replace(/^\*/, '');
    return (host, p) => samePort(p) && host.endsWith(domain);
  }
  return (host, p) => samePort(p) && (host === name || (isIP(name) === 0 && host.endsWith(`.${name}`)));
}

function inNetwork(address: string, bits: number): (host: string) => boolean {
  const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
  if (bits > (family === 'ipv6' ? 128 : 32)) return () => false;
  const blocks = new BlockList();
  blocks.addSubnet(address, bits, family);
  return (host) => isIP(host) !== 0 && blocks.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4');
}
