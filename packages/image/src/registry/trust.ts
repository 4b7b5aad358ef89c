// Certificates: whom we believe besides the public authorities, and what we show to a registry that asks who we are.
import { constants } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import tls, { type SecureContext } from 'node:tls';
import { syscallErrorFrom } from '@ctr/internal/errors';
import { isMissing } from '../store/files.js';

/** Certificates for one registry, as PEM text. */
export interface RegistryTls {
  /** Authorities that are believed besides the public ones. */
  ca?: string | string[];
  /** Our own certificate, for registries that ask for one; shown to the registry itself only. */
  cert?: string;
  /** The private key of `cert`. */
  key?: string;
}

/** What was found: empty strings and arrays never occur. */
export interface Trust {
  ca: readonly string[];
  own: { cert: string; key: string } | undefined;
}

const MAX_PEM = 1024 * 1024;

/** The directories in which docker, podman and skopeo look, `host[:port]` below each. */
const certificateRoots = (home: string): string[] => [
  path.join(home, '.config/containers/certs.d'),
  '/etc/containers/certs.d',
  '/etc/docker/certs.d',
];

/** What the caller gave, else what lies in the first `certs.d/host[:port]` that exists: `*.crt`, and `*.cert` with its `*.key`. */
export async function findTrust(
  registry: string,
  given: RegistryTls | undefined,
  roots: readonly string[] = certificateRoots(homedir()),
): Promise<Trust> {
  if (given !== undefined) {
    const { ca = [], cert, key } = given;
    return { ca: typeof ca === 'string' ? [ca] : ca, own: cert !== undefined && key !== undefined ? { cert, key } : undefined };
  }
  const directories = roots.map((root) => readDirectory(path.join(root, registry)));
  // One that is not looked at may be unreadable.
  for (const directory of directories) directory.catch(() => undefined);
  for (const directory of directories) {
    const found = await directory;
    if (found !== undefined) return found;
  }
  return { ca: [], own: undefined };
}

async function readDirectory(directory: string): Promise<Trust | undefined> {
  try {
    const names = (await readdir(directory)).sort();
    const ca = await Promise.all(names.filter((n) => n.endsWith('.crt')).map((n) => readPem(path.join(directory, n))));
    const cert = names.find((n) => n.endsWith('.cert') && names.includes(n.replace(/cert$/, 'key')));
    if (cert === undefined) return { ca, own: undefined };
    const [certificate, key] = await Promise.all([cert, cert.replace(/cert$/, 'key')].map((n) => readPem(path.join(directory, n))));
    return { ca, own: { cert: certificate as string, key: key as string } };
  } catch (error) {
    // Another user's directory is no reason to fail: the registry will say what it lacks.
    if (isMissing(error) || (error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
    throw syscallErrorFrom(error, `read the certificates of ${path.basename(directory)}`);
  }
}

async function readPem(file: string): Promise<string> {
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const { size } = await handle.stat();
    return size > MAX_PEM ? '' : await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

/** Public authorities, those of NODE_EXTRA_CA_CERTS, and ours; undefined when the defaults of Node do. */
async function authorities(ours: readonly string[]): Promise<string[] | undefined> {
  if (ours.length === 0) return undefined;
  // Node 22.15 knows what it believes; before that, `ca` replaces all of it and it has to be put together again.
  const known = (tls as { getCACertificates?: (type: 'default') => string[] }).getCACertificates;
  if (known !== undefined) return [...known('default'), ...ours];
  const extra = process.env['NODE_EXTRA_CA_CERTS'];
  const more = extra ? await readFile(extra, 'utf8').catch(() => '') : '';
  return [...tls.rootCertificates, ...(more === '' ? [] : [more]), ...ours];
}

/** How TLS connections are made to the registry itself and to others; made once, as loading 140 authorities takes milliseconds. */
export interface TlsContexts {
  /** For the registry: with our own certificate. */
  registry: SecureContext;
  /** For token servers and blob storage. */
  others: SecureContext;
}

export async function tlsContexts(trust: Trust): Promise<TlsContexts | undefined> {
  if (trust.ca.length === 0 && trust.own === undefined) return undefined;
  const ca = await authorities(trust.ca);
  const options = { minVersion: 'TLSv1.2' as const, ...(ca ? { ca } : {}) };
  const others = tls.createSecureContext(options);
  return { others, registry: trust.own === undefined ? others : tls.createSecureContext({ ...options, ...trust.own }) };
}
