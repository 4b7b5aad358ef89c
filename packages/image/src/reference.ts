// Image references: the grammar and the short names of Docker, checked before anything is built from them.
import { isIPv6 } from 'node:net';
import { InvalidArgumentError } from '@ctr/internal/errors';
import { type Digest, isDigest } from './digest.js';
import { parseUrl } from './registry/parse-url.js';

/** A parsed image reference; every part has been checked against the grammar. */
export interface Reference {
  /** Registry as people write it, `host[:port]`; `docker.io` for Docker Hub. */
  readonly registry: string;
  /** Repository below the registry, such as `library/debian`. */
  readonly repository: string;
  /** Tag; `undefined` when the reference names a digest (a digest wins over a tag). */
  readonly tag: string | undefined;
  /** Digest; `undefined` when the reference names a tag. */
  readonly digest: Digest | undefined;
  /** The full form, `docker.io/library/debian:12` or `…@sha256:…`: the name in the store. */
  readonly name: string;
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const LABEL = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** Longest `registry/repository`, as in distribution/reference; a whole reference adds a tag and a sha512 digest. */
const MAX_NAME = 255;
const MAX_REFERENCE = MAX_NAME + 1 + 128 + 1 + 135;

const EXPECTED = 'an image reference like "debian:12", "ghcr.io/owner/app@sha256:…" or "localhost:5000/app"';

/**
 * Parses an image reference and completes Docker's short names: `debian` is `docker.io/library/debian:latest`.
 *
 * The first component is a registry when it holds a dot or a colon or is `localhost`; else the image is on Docker Hub.
 * With both a tag and a digest the digest wins and the tag is dropped, after its grammar was checked.
 *
 * @throws {InvalidArgumentError} CTR_INVALID_ARGUMENT when it does not follow the grammar; nothing is repaired.
 * @see https://github.com/distribution/reference
 * @example
 * ```ts
 * parseReference('debian').name          // 'docker.io/library/debian:latest'
 * parseReference('localhost:5000/a').registry // 'localhost:5000'
 * ```
 */
export function parseReference(reference: string, path = 'reference'): Reference {
  const fail = (why: string): never => {
    throw new InvalidArgumentError(path, `${EXPECTED} (${why})`, reference);
  };
  if (typeof reference !== 'string' || reference === '') return fail('it must be a non-empty string');
  if (reference.length > MAX_REFERENCE) return fail(`at most ${MAX_REFERENCE} characters`);
  const { rest, tag, digest } = splitSuffix(reference, fail);
  const { registry, repository } = splitRegistry(rest);
  if (registry.length + repository.length + 1 > MAX_NAME) return fail(`at most ${MAX_NAME} characters before the tag`);
  if (!isRegistry(registry)) return fail(`${JSON.stringify(registry)} is no host[:port]`);
  const wrong = repository.split('/').find((part) => !COMPONENT.test(part));
  if (wrong !== undefined) return fail(componentAdvice(wrong));
  // As in Docker: 64 hexadecimal digits would be taken for an image id.
  if (/^[0-9a-f]{64}$/.test(rest)) return fail('64 hexadecimal digits are an id, not a name; write "name@sha256:…"');
  const suffix = digest !== undefined ? `@${digest}` : `:${tag ?? 'latest'}`;
  return {
    registry,
    repository,
    tag: digest === undefined ? (tag ?? 'latest') : undefined,
    digest,
    name: `${registry}/${repository}${suffix}`,
  };
}

type Fail = (why: string) => never;

function splitSuffix(reference: string, fail: Fail): { rest: string; tag: string | undefined; digest: Digest | undefined } {
  const at = reference.indexOf('@');
  const digest = at < 0 ? undefined : reference.slice(at + 1);
  if (digest !== undefined && !isDigest(digest)) return fail('after "@" comes sha256: or sha512: and lower-case hexadecimal digits');
  const name = at < 0 ? reference : reference.slice(0, at);
  const colon = name.lastIndexOf(':');
  // A colon before the last slash belongs to the registry's port.
  if (colon < 0 || name.indexOf('/', colon) >= 0) return { rest: name, tag: undefined, digest };
  const tag = name.slice(colon + 1);
  if (!TAG.test(tag)) return fail('a tag is 1 to 128 letters, digits, "_", "." or "-"');
  return { rest: name.slice(0, colon), tag, digest };
}

function splitRegistry(rest: string): { registry: string; repository: string } {
  const slash = rest.indexOf('/');
  const first = slash < 0 ? '' : rest.slice(0, slash);
  const named = /[.:]/.test(first) || first === 'localhost';
  const registry = named ? first.toLowerCase() : 'docker.io';
  const repository = named ? rest.slice(slash + 1) : rest;
  if (!['docker.io', 'index.docker.io', 'registry-1.docker.io'].includes(registry)) return { registry, repository };
  return { registry: 'docker.io', repository: repository.includes('/') ? repository : `library/${repository}` };
}

/** `host`, `host:port`, `[v6]:port`; no user, no scheme, no trailing dot (R-25: one spelling per origin). */
export function isRegistry(registry: string): boolean {
  const match = /^(\[[^\]]*\]|[^:]*)(?::([0-9]{1,5}))?$/.exec(registry);
  if (match === null) return false;
  const [, host = '', port] = match;
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65535)) return false;
  // No zone (fe80::1%eth0): no URL can hold it, WHATWG URL "host-parsing".
  if (host.startsWith('[')) return isIPv6(host.slice(1, -1)) && parseUrl(`https://${host}/`) !== undefined;
  if (!host.split('.').every((label) => LABEL.test(label))) return false;
  // Other spellings of an IPv4 address (0x7f.1, 127.1) and what only looks like one (999.1.1.1) are no names either.
  return parseUrl(`https://${host}/`)?.hostname === host.toLowerCase();
}

function componentAdvice(component: string): string {
  if (component !== component.toLowerCase()) return 'repository names are lower case';
  return `a repository name is lower-case letters and digits, separated by ".", "_", "__" or "-": ${JSON.stringify(component.slice(0, 40))} is not`;
}
