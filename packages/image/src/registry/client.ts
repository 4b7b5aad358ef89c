// A registry and one of its repositories: requests with credentials, redirects and patience, and what is read by them.
import { ImageError } from '@ctr/internal/errors';
import { type Digest, isDigest } from '../digest.js';
import { ACCEPT_MANIFESTS, bareType } from '../document/media-types.js';
import { MAX_AUTH_ROUNDS, MAX_MANIFEST_BYTES } from '../limits.js';
import type { Reference } from '../reference.js';
import { Authenticator, adviceWithout, type ContextFor } from './auth.js';
import type { FoundCredentials } from './credentials.js';
import { type Endpoint, findEndpoint } from './endpoint.js';
import {
  discard,
  type HttpAnswer,
  HttpClient,
  type HttpRequest,
  type Method,
  PROXY_HINT,
  readBody,
  readErrorBody,
  shownUrl,
} from './http.js';
import { type IdleLines, type Line, lineKey } from './idle-lines.js';
import { parseUrl } from './parse-url.js';
import { proxyRules } from './proxy.js';
import { follow } from './redirect.js';
import { asTransient, isTransientStatus, type OnWait, parseRetryAfter, type RetryOptions, retrying, Transient } from './retry.js';
import type { TokenCache } from './token.js';
import { findTrust, type RegistryTls, type Trust, tlsContexts } from './trust.js';

export interface RegistryClientOptions {
  reference: Reference;
  credentials: FoundCredentials;
  /** The user allows this registry to be reached without TLS, or with a certificate that nobody vouches for. */
  insecure: boolean;
  /** Origins that redirects and token requests may go to although they are private or not https. */
  trustedOrigins: readonly string[];
  retry: RetryOptions;
  onWait?: OnWait | undefined;
  idleTimeoutMs: number;
  tokens: TokenCache;
  /** What tokens are asked for: `pull`, `pull,push` … */
  actions?: string;
  /** A proxy for everything, or false for none; undefined for the environment's. */
  proxy?: string | false | undefined;
  /** Undefined: what lies in `certs.d` for this registry. */
  tls?: RegistryTls | undefined;
  /** Where connections are left for the next client, and taken from; undefined: they end with this one. */
  lines?: IdleLines | undefined;
  /** Path between `/v2/` and the repository: where a mirror keeps its copies. */
  prefix?: string;
}

export interface FetchedDocument {
  bytes: Buffer;
  /** Content-Type without parameters. */
  mediaType: string;
}

/** One request to the registry. */
export interface Ask {
  method: Method;
  /** Below the repository, or a whole URL that the registry gave and `resolve` has judged. */
  path: string | URL;
  headers?: Record<string, string>;
  body?: HttpRequest['body'];
  /** Statuses that the caller understands; others become errors. */
  accept: readonly number[];
  /** What the user sees as the thing that failed. */
  what: string;
  signal: AbortSignal;
  /** A repository that this request reads besides its own: the token must cover both. */
  alsoPull?: string;
}

interface Session {
  line: Line;
  auth: Authenticator;
}

/** Talks to one registry about one repository. `close()` it at the end, or `release()` it when nothing failed. */
export class RegistryClient {
  readonly #o: RegistryClientOptions;
  readonly #trusted: ReadonlySet<string>;
  /** Credentials for requests that read another repository as well: a refusal there must not spoil the others. */
  readonly #mounters = new Map<string, Authenticator>();
  #http: HttpClient | undefined;
  #line: Line | undefined;
  #session: Promise<Session> | undefined;

  constructor(options: RegistryClientOptions) {
    this.#o = options;
    this.#trusted = new Set(options.trustedOrigins);
  }

  /** `host[:port]`, for messages. */
  get registry(): string {
    return this.#o.reference.registry;
  }

  get repository(): string {
    return `${this.#o.prefix ?? ''}${this.#o.reference.repository}`;
  }

  /** Ends all that is under way. */
  close(): void {
    this.#http?.close();
  }

  /** Everything that was asked has been answered: leaves the connection to whoever comes next. */
  release(): void {
    if (this.#line !== undefined && this.#o.lines !== undefined) this.#o.lines.give(this.#lineKey(), this.#line);
    else this.close();
    this.#line = undefined;
    this.#http = undefined;
    this.#session = undefined;
  }

  /** Fetches a manifest or index by tag or digest, at most 4 MiB. The caller verifies it. */
  async manifest(name: string | Digest, signal: AbortSignal): Promise<FetchedDocument> {
    const path = `manifests/${name}`;
    return this.retrying(`fetch the manifest of ${this.#o.reference.name}`, signal, async (what) => {
      const answer = await this.request({ method: 'GET', path, headers: { accept: ACCEPT_MANIFESTS }, accept: [200], what, signal });
      const bytes = await readBody(answer, MAX_MANIFEST_BYTES, `the manifest of ${this.#o.reference.name}`, signal);
      return { bytes, mediaType: bareType(answer.headers['content-type']) };
    });
  }

  /** The digest a tag has now, by HEAD, which Docker Hub does not count as a pull; undefined when the registry does not say. */
  async digestOf(tag: string, signal: AbortSignal): Promise<Digest | undefined> {
    const path = `manifests/${tag}`;
    return this.retrying(`look up ${this.#o.reference.name}`, signal, async (what) => {
      // An answer to HEAD has no body that could say why, so errors are left to the GET that follows.
      const accept = [200, 400, 403, 404, 405, 406, 501];
      const answer = await this.request({ method: 'HEAD', path, headers: { accept: ACCEPT_MANIFESTS }, accept, what, signal });
      await discard(answer);
      const digest = answer.headers['docker-content-digest'];
      return answer.status === 200 && isDigest(digest) ? digest : undefined;
    });
  }

  /** Opens a blob at an offset: `from` tells where the body really starts, as a server may ignore Range. */
  async openBlob(digest: Digest, offset: number, signal: AbortSignal): Promise<{ answer: HttpAnswer; from: number }> {
    const headers: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    return this.retrying(`fetch the blob ${digest} of ${this.#o.reference.name}`, signal, async (what) => {
      const answer = await this.request({
        method: 'GET',
        path: `blobs/${digest}`,
        headers,
        accept: offset > 0 ? [200, 206] : [200],
        what,
        signal,
      });
      if (answer.status === 200) return { answer, from: 0 };
      const from = Number(/^bytes (\d+)-\d+\//.exec(answer.headers['content-range'] ?? '')?.[1]);
      if (from === offset) return { answer, from };
      answer.body.destroy();
      throw new Transient(
        new ImageError('CTR_IMAGE_REGISTRY', `${what}: the registry sent another range than was asked for`, {
          url: shownUrl(answer.url),
          digest,
        }),
      );
    });
  }

  /** Retries with this client's patience; network errors that may pass count as transient. */
  retrying<T>(what: string, signal: AbortSignal, work: (what: string) => Promise<T>): Promise<T> {
    const once = async (): Promise<T> => {
      try {
        return await work(what);
      } catch (error) {
        throw asTransient(error);
      }
    };
    return retrying(what, this.#o.retry, signal, once, this.#o.onWait);
  }

  /** One request with its redirects and its rounds of authentication. */
  async request(ask: Ask): Promise<HttpAnswer> {
    const { line, auth: own } = await this.#open(ask.signal);
    const { http, endpoint } = line;
    const auth = ask.alsoPull === undefined ? own : this.#mounter(endpoint, ask.alsoPull);
    const url = typeof ask.path === 'string' ? new URL(`v2/${this.repository}/${ask.path}`, endpoint.url) : ask.path;
    const context: ContextFor = (realm) => this.#tokenContext(http, realm, endpoint, ask.signal);
    for (let round = 0; ; round++) {
      // SECURITY: only the registry itself gets credentials, also when it named another place to upload to (CVE-2026-50151).
      const authorization = endpoint.owns(url) ? await auth.header(context) : undefined;
      const headers = { ...ask.headers, ...(authorization ? { authorization } : {}) };
      const answer = await follow(http, endpoint, url, { ...ask, headers });
      if (answer.status !== 401 || ask.accept.includes(401) || !endpoint.owns(answer.url)) return this.#judge(answer, ask, auth, endpoint);
      await discard(answer);
      if (round >= MAX_AUTH_ROUNDS) throw this.#denied(answer, ask);
      await auth.answer(answer, authorization, round + 1, context);
    }
  }

  /**
   * A URL that an answer of the registry names in a header (`Location`, `Link`).
   *
   * SECURITY: it must be the registry's own origin or one that the user trusts.
   */
  async resolve(target: string | undefined, base: URL, what: string, signal: AbortSignal): Promise<URL> {
    const { endpoint } = (await this.#open(signal)).line;
    const url = target === undefined ? undefined : parseUrl(target, base);
    if (url !== undefined && /^https?:$/.test(url.protocol) && (endpoint.owns(url) || endpoint.trusts(url))) {
      if (url.username === '' && url.password === '') return url;
    }
    throw new ImageError(
      'CTR_IMAGE_REGISTRY',
      `${what}: the registry sends us to ${url === undefined ? 'no URL' : url.origin}, which is refused`,
      { url: shownUrl(base) },
      { hint: 'if that is right, name its origin in the trustedOrigins option' },
    );
  }

  #mounter(endpoint: Endpoint, repository: string): Authenticator {
    const known = this.#mounters.get(repository);
    if (known !== undefined) return known;
    const made = this.#authenticator(endpoint, [`repository:${repository}:pull`]);
    this.#mounters.set(repository, made);
    return made;
  }

  async #judge(answer: HttpAnswer, ask: Ask, auth: Authenticator, endpoint: Endpoint): Promise<HttpAnswer> {
    const encoding = answer.headers['content-encoding'];
    if (ask.accept.includes(answer.status)) {
      if (encoding === undefined || encoding.toLowerCase() === 'identity') return answer;
      answer.body.destroy();
      throw new ImageError('CTR_IMAGE_REGISTRY', `${ask.what}: the answer is encoded, which was not asked for`, {
        url: shownUrl(answer.url),
      });
    }
    const said = auth.redact(firstError(await readErrorBody(answer)));
    const text = `${ask.what}: ${answer.url.host} answers ${answer.status}${said ? ` (${said})` : ''}`;
    const facts = { url: shownUrl(answer.url), status: answer.status, reference: this.#o.reference.name };
    // A signed URL that has expired: the registry gives a new one when it is asked again.
    const stale = !endpoint.owns(answer.url) && [400, 401, 403].includes(answer.status);
    if (stale || isTransientStatus(answer.status)) {
      const hint = answer.status === 429 ? 'the registry limits how often one may ask: wait, or log in for a higher limit' : undefined;
      throw new Transient(new ImageError('CTR_IMAGE_REGISTRY', text, facts, { hint }), parseRetryAfter(answer.headers['retry-after']));
    }
    if (answer.status === 407) throw new ImageError('CTR_IMAGE_REGISTRY', text, facts, { hint: PROXY_HINT });
    if (answer.status === 413 && typeof ask.body === 'function')
      throw new ImageError('CTR_IMAGE_REGISTRY', text, facts, { hint: TOO_LARGE_HINT });
    if (answer.status === 404) throw new ImageError('CTR_IMAGE_NOT_FOUND', text, facts, { hint: this.#absent(ask, said) });
    if (answer.status === 401 || answer.status === 403) throw this.#denied(answer, ask, said);
    throw new ImageError('CTR_IMAGE_REGISTRY', text, facts);
  }

  /** What to do about something that is not there. */
  #absent({ method }: Ask, said: string): string {
    if (method !== 'POST' && method !== 'PUT' && !said.startsWith('NAME_UNKNOWN')) return 'check the name and the tag of the image';
    if (method === 'GET' || method === 'HEAD') return `the registry knows no repository ${this.repository}: check its name`;
    return `the registry knows no repository ${this.repository}: check its name; some, such as Amazon ECR, want it to be made before the first push`;
  }

  #denied(answer: HttpAnswer, ask: Ask, said = ''): ImageError {
    const { credentials, reference } = this.#o;
    const facts = { url: shownUrl(answer.url), status: answer.status, reference: reference.name };
    return new ImageError(
      'CTR_IMAGE_AUTH',
      `${ask.what}: ${answer.url.host} refuses it with ${answer.status}${said ? ` (${said})` : ''}`,
      facts,
      {
        hint:
          credentials.auth === undefined
            ? adviceWithout(credentials)
            : 'check the user name, the password and the rights to this repository',
      },
    );
  }

  #tokenContext(http: HttpClient, realm: URL, endpoint: Endpoint, signal: AbortSignal): ReturnType<ContextFor> {
    const { credentials } = this.#o;
    const helperHint =
      credentials.auth === undefined && (credentials.helper ?? credentials.unreadable) !== undefined
        ? adviceWithout(credentials)
        : undefined;
    return { http, signal, helperHint, ...endpoint.rulesFor(realm, 'the token server') };
  }

  /** Finds the registry once; who comes after a failed attempt tries anew. */
  async #open(signal: AbortSignal): Promise<Session> {
    const known = this.#session;
    const found = await known?.catch(() => undefined);
    if (found !== undefined) return found;
    if (this.#session !== known && this.#session !== undefined) return this.#open(signal);
    this.#session = this.#start(signal);
    return this.#session;
  }

  async #start(signal: AbortSignal): Promise<Session> {
    const line = this.#o.lines?.take(this.#lineKey()) ?? (await this.#connect(signal));
    this.#http = line.http;
    this.#line = line;
    return { line, auth: this.#authenticator(line.endpoint, []) };
  }

  async #connect(signal: AbortSignal): Promise<Line> {
    const { reference, idleTimeoutMs, insecure, proxy, tls } = this.#o;
    const http = new HttpClient({ idleTimeoutMs, proxyFor: proxyRules(proxy), tls: await contextsOf(reference.registry, tls) });
    this.#http = http;
    const endpoint = await findEndpoint(http, { registry: reference.registry, insecure, trusted: this.#trusted }, signal);
    return { http, endpoint, born: performance.now() };
  }

  #lineKey(): string {
    const { reference, insecure, proxy, tls, idleTimeoutMs, trustedOrigins } = this.#o;
    return lineKey([reference.registry, insecure, proxy, tls, idleTimeoutMs, trustedOrigins]);
  }

  #authenticator(endpoint: Endpoint, more: readonly string[]): Authenticator {
    const { credentials, tokens, retry, onWait, actions = 'pull' } = this.#o;
    return new Authenticator({
      registry: endpoint.url,
      repository: this.repository,
      scopes: [`repository:${this.repository}:${actions}`, ...more],
      credentials,
      trusted: this.#trusted,
      cache: tokens,
      retry,
      onWait,
    });
  }
}

const TOO_LARGE_HINT =
  'the registry, or a proxy before it (client_max_body_size of nginx), takes no request of that size: push with chunkBytes, the size of a piece that it takes';

async function contextsOf(registry: string, tls: RegistryTls | undefined): ReturnType<typeof tlsContexts> {
  const trust: Trust = await findTrust(registry, tls);
  try {
    return await tlsContexts(trust);
  } catch (error) {
    throw new ImageError(
      'CTR_IMAGE_REGISTRY',
      `use the certificates for ${registry}: ${(error as Error).message}`,
      {},
      { cause: error, hint: 'look at the tls option, and at certs.d in /etc/docker and /etc/containers' },
    );
  }
}

/** The first message of the specification's error body, in printable ASCII and short; empty when there is none. */
function firstError(body: string): string {
  try {
    const { code, message } = (JSON.parse(body) as { errors: { code?: unknown; message?: unknown }[] }).errors[0] ?? {};
    const text = [code, message].filter((s) => typeof s === 'string').join(': ');
    return text.replace(/[^\x20-\x7e]/g, ' ').slice(0, 200);
  } catch {
    return '';
  }
}
