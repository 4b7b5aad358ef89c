// Checks what callers give, before anything on the host is touched: types, ranges, and names that are misspelled.
import { InvalidArgumentError } from '@ctr/internal/errors';
import { DEFAULT_UNPACK_LIMITS, type UnpackLimits } from './limits.js';
import { hostPlatform, type Platform, parsePlatform } from './platform.js';
import { isRegistry } from './reference.js';
import type { RegistryAuth } from './registry/credentials.js';
import { parseUrl } from './registry/parse-url.js';
import { parseProxy } from './registry/proxy.js';
import type { RetryOptions } from './registry/retry.js';
import type { RegistryTls } from './registry/trust.js';
import type { LayerSink } from './unpack/layer-sink.js';

type Check = (value: unknown, path: string) => void;

const fail = (path: string, expected: string, value: unknown): never => {
  throw new InvalidArgumentError(path, expected, value);
};

/** Letters to change, add or drop to get from one name to the other; names are short. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length] as number;
}

/** Checks the keys of an options object and each value that is there. */
export function checkOptions(options: unknown, path: string, checks: Record<string, Check>): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) fail(path, 'an object with options', options);
  for (const key of Object.keys(options as object)) {
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
    const value = (options as Record<string, unknown>)[key];
    if (check === undefined) {
      const near = Object.keys(checks).find((known) => distance(known.toLowerCase(), key.toLowerCase()) <= 2);
      throw new InvalidArgumentError(
        `${path}.${key}`,
        near ? `absent: there is no such option, did you mean "${near}"?` : 'absent: there is no such option',
        value,
      );
    }
    if (value !== undefined) check(value, `${path}.${key}`);
  }
}

export const checks = {
  oneOf:
    (...names: readonly unknown[]): Check =>
    (v, path) =>
      names.includes(v) || fail(path, `one of ${names.map((n) => JSON.stringify(n)).join(', ')}`, v),
  boolean: ((v, path) => typeof v === 'boolean' || fail(path, 'true or false', v)) as Check,
  function: ((v, path) => typeof v === 'function' || fail(path, 'a function', v)) as Check,
  string: ((v, path) =>
    (typeof v === 'string' && v !== '' && v.length <= 4096 && !v.includes('\0')) ||
    fail(path, 'a non-empty string without NUL', v)) as Check,
  integer:
    (min: number, max: number): Check =>
    (v, path) =>
      (Number.isSafeInteger(v) && (v as number) >= min && (v as number) <= max) || fail(path, `a whole number from ${min} to ${max}`, v),
  signal: ((v, path) =>
    (typeof v === 'object' &&
      v !== null &&
      typeof (v as AbortSignal).aborted === 'boolean' &&
      typeof (v as AbortSignal).addEventListener === 'function') ||
    fail(path, 'an AbortSignal', v)) as Check,
  sink: ((v, path) => {
    const sink = v as LayerSink | null;
    if (typeof sink !== 'object' || sink === null || typeof sink.open !== 'function')
      return fail(path, 'a LayerSink: an object with open(directory)', v);
    if (sink.openBlob !== undefined && typeof sink.openBlob !== 'function') fail(`${path}.openBlob`, 'a function', sink.openBlob);
    // SECURITY: it becomes a part of a path.
    if (sink.form !== undefined && !/^[a-z0-9-]{1,16}$/.test(sink.form)) fail(`${path}.form`, '1 to 16 of a-z, 0-9 and "-"', sink.form);
  }) as Check,
  platform: ((v, path) => void parsePlatform(v as string, path)) as Check,
  insecure: ((v, path) =>
    typeof v === 'boolean' ||
    (Array.isArray(v) && v.every((h) => typeof h === 'string' && isRegistry(h))) ||
    fail(path, 'true, false or an array of host[:port]', v)) as Check,
  origins: ((v, path) =>
    (Array.isArray(v) && v.every(isOrigin)) || fail(path, 'an array of origins like "https://blobs.example:8443"', v)) as Check,
  auth: ((v, path) => v === false || isAuth(v) || failSecret(path)) as Check,
  retry: ((v, path) => checkOptions(v, path, RETRY)) as Check,
  proxy: ((v, path) => v === false || isProxy(v) || failProxy(path)) as Check,
  tls: ((v, path) => {
    checkOptions(v, path, TLS);
    const { cert, key } = v as RegistryTls;
    if ((cert === undefined) !== (key === undefined)) fail(path, 'cert and key together, or neither', undefined);
  }) as Check,
  mirrors: ((v, path) => {
    if (typeof v !== 'object' || v === null || Array.isArray(v))
      return fail(path, 'an object like { "docker.io": ["mirror.example:5000"] }', v);
    for (const [registry, list] of Object.entries(v)) {
      if (!isRegistry(registry)) fail(path, 'an object whose keys are host[:port]', registry);
      if (!Array.isArray(list) || !list.every(isMirror))
        fail(`${path}[${JSON.stringify(registry)}]`, 'an array of host[:port][/path]', list);
    }
  }) as Check,
  texts: ((v, path) =>
    (typeof v === 'object' && v !== null && !Array.isArray(v) && Object.values(v).every((t) => typeof t === 'string')) ||
    fail(path, 'an object of strings', v)) as Check,
  owner: ((v, path) => checkOptions(v, path, { uid: checks.integer(0, 2 ** 32 - 2), gid: checks.integer(0, 2 ** 32 - 2) })) as Check,
  strings: ((v, path) =>
    (Array.isArray(v) && v.every((s) => typeof s === 'string' && s !== '' && !s.includes('\0'))) ||
    fail(path, 'an array of non-empty strings', v)) as Check,
  limits: ((v, path) => checkOptions(v, path, LIMITS)) as Check,
};

/** SECURITY: a proxy's URL may hold a password, so the error does not show it. */
const failProxy = (path: string): never => fail(path, 'false or a URL like "http://proxy.example:3128"', undefined);

function isProxy(value: unknown): boolean {
  if (typeof value !== 'string' || value === '' || value.length > 4096) return false;
  try {
    return parseProxy(value).hostname !== '';
  } catch {
    return false;
  }
}

const isMirror = (value: unknown): boolean => {
  const [, host, path] = typeof value === 'string' ? (/^([^/]+)(?:\/(.+))?$/.exec(value) ?? []) : [];
  return host !== undefined && isRegistry(host) && (path === undefined || /^[a-z0-9]+([._/-]+[a-z0-9]+)*$/.test(path));
};

const isPem: Check = (v, path) => (typeof v === 'string' && v.includes('-----BEGIN ')) || fail(path, 'PEM text', undefined);
const TLS = {
  ca: ((v, path) => {
    for (const pem of Array.isArray(v) ? v : [v]) isPem(pem, path);
  }) as Check,
  cert: isPem,
  key: isPem,
};

const RETRY = {
  attempts: checks.integer(1, 100),
  baseDelayMs: checks.integer(0, 3_600_000),
  maxDelayMs: checks.integer(0, 3_600_000),
  totalDelayMs: checks.integer(0, 86_400_000),
};

const LIMITS = { maxLayerBytes: checks.integer(1, Number.MAX_SAFE_INTEGER), maxRatio: checks.integer(1, 1_000_000) };

function isOrigin(value: unknown): boolean {
  const url = typeof value === 'string' ? parseUrl(value) : undefined;
  return url !== undefined && /^https?:$/.test(url.protocol) && url.origin === value;
}

function isAuth(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const keys = Object.keys(value).sort().join();
  const texts = Object.values(value).every((v) => typeof v === 'string' && v !== '' && !/[\0\r\n]/.test(v));
  const plain = keys !== 'password,username' || !(value as { username: string }).username.includes(':');
  return texts && plain && ['password,username', 'identityToken', 'bearerToken'].includes(keys);
}

/** SECURITY: the value is a secret, so the error does not show it. */
const failSecret = (path: string): never =>
  fail(
    path,
    'false, { username, password }, { identityToken } or { bearerToken } with non-empty strings, no ":" in the user name',
    undefined,
  );

/** Options that pulling and unpacking share, with their defaults filled in. */
export interface Settled {
  wanted: Platform;
  limits: Required<UnpackLimits>;
  signal: AbortSignal;
}

export function settle(o: { platform?: string | undefined; limits?: UnpackLimits | undefined; signal?: AbortSignal | undefined }): Settled {
  return {
    wanted: o.platform === undefined ? hostPlatform() : parsePlatform(o.platform),
    limits: { ...DEFAULT_UNPACK_LIMITS, ...o.limits },
    signal: o.signal ?? new AbortController().signal,
  };
}

/** Options for talking to a registry. */
export interface RegistryOptions {
  /** Credentials for the registry; `false` sends none. Default: those of docker's and podman's files. */
  auth?: RegistryAuth | false;
  /**
   * Allows the registry to be reached without TLS or with a certificate that nobody vouches for: `true` for the registry of this
   * reference, or a list of `host[:port]`. Default false; a registry on this machine may always be plain http.
   */
  insecure?: boolean | string[];
  /** Origins that the registry may send us to although they are private addresses or not https, such as `http://10.0.0.7:9000`. Default none. */
  trustedOrigins?: string[];
  /**
   * Other places that have copies, by registry and in order: `{ 'docker.io': ['mirror.example:5000', 'cache.example/hub'] }`. They are
   * asked first; one that fails or has other content is passed over. Only for reading. Credentials for them come from docker's and
   * podman's files: `auth` is for the registry itself. To allow one without TLS, name it in `insecure`. Default none.
   */
  mirrors?: Record<string, string[]>;
  /**
   * An HTTP proxy such as `http://user:password@proxy.example:3128`; `false` uses none. Default: HTTP_PROXY, HTTPS_PROXY and NO_PROXY,
   * as Docker understands them. Registries on this machine are never reached through a proxy.
   */
  proxy?: string | false;
  /** Certificates. Default: those in `certs.d/host[:port]` of `~/.config/containers`, `/etc/containers` or `/etc/docker`. */
  tls?: RegistryTls;
  /** How patiently a registry is asked again. */
  retry?: RetryOptions;
  /** Milliseconds of silence after which a connection is given up. Default 60000. */
  idleTimeoutMs?: number;
}

export const REGISTRY_CHECKS = {
  auth: checks.auth,
  insecure: checks.insecure,
  trustedOrigins: checks.origins,
  mirrors: checks.mirrors,
  proxy: checks.proxy,
  tls: checks.tls,
  retry: checks.retry,
  idleTimeoutMs: checks.integer(1, 86_400_000),
};
