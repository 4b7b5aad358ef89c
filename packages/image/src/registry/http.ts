// One HTTP exchange: own agents, no redirects, no decoding, deadlines, and errors that say what could not be reached.
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { AbortError, CtrError, ImageError, syscallErrorFrom } from '@ctr/internal/errors';
import { MAX_ERROR_BYTES } from '../limits.js';
import { type AddressGuard, guardedLookup } from './address.js';
import type { ProxyFor } from './proxy.js';
import type { TlsContexts } from './trust.js';

export type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface HttpRequest {
  method: Method;
  headers: Record<string, string>;
  /** A stream is begun anew for each request; its length is in the headers. */
  body?: string | Uint8Array | (() => AsyncIterable<Uint8Array>) | undefined;
  signal: AbortSignal;
  /** Checks the address that is connected to; undefined for a host that the user named. */
  guard?: AddressGuard | undefined;
  /** False for registries that the user called insecure. */
  verifyTls: boolean;
  /** True for the registry itself: our own certificate is shown to nobody else. */
  own?: boolean;
}

export interface HttpAnswer {
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Must be read to the end or destroyed. */
  readonly body: IncomingMessage;
  /** Address of the peer; undefined when the connection is gone already, or went through a proxy. */
  readonly address: string | undefined;
}

/** A URL fit for a message: no user, no password, no query (signed URLs carry secrets there). */
export const shownUrl = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`;

const USER_AGENT = 'ctr-image/0.1 (node)';

export interface HttpClientOptions {
  idleTimeoutMs: number;
  connections?: number;
  proxyFor?: ProxyFor;
  tls?: TlsContexts | undefined;
}

/** A small client over node:http; `close()` gives up its idle connections. */
export class HttpClient {
  readonly #o: HttpClientOptions;
  readonly #idleMs: number;
  /** One for each way of connecting: by what is believed, and through which proxy. */
  readonly #agents = new Map<string, http.Agent>();

  constructor(options: HttpClientOptions) {
    this.#o = options;
    this.#idleMs = options.idleTimeoutMs;
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  /** Sends one request and resolves with the head of the answer. */
  async send(url: URL, request: HttpRequest): Promise<HttpAnswer> {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // node:net asks `lookup` for names only, so a literal address is judged here. Names behind a proxy are the proxy's to judge.
    const refused = request.guard !== undefined && isIP(host) !== 0 ? request.guard(host) : undefined;
    if (refused) throw refused;
    const proxy = this.#o.proxyFor?.(url);
    const agent = await this.#agent(url.protocol === 'https:', request, proxy);
    const how = { agent, proxy };
    return new Promise((resolve, reject) => {
      const fail = (e: Error): void => reject(networkError(e, url, request.signal));
      const begin = (again: boolean): void =>
        this.#exchange(url, request, how, resolve, (e, stale) => (stale && again ? begin(false) : fail(e)));
      begin(request.method === 'GET' || request.method === 'HEAD');
    });
  }

  #exchange(
    url: URL,
    request: HttpRequest,
    { agent, proxy }: { agent: http.Agent; proxy: URL | undefined },
    resolve: (a: HttpAnswer) => void,
    reject: (e: Error, stale: boolean) => void,
  ): void {
    const secure = url.protocol === 'https:';
    const options: https.RequestOptions & { highWaterMark: number } = {
      agent,
      method: request.method,
      headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...request.headers },
      signal: request.signal,
      timeout: this.#idleMs,
      // Passed on to the socket: larger reads cost a third less CPU than the default.
      highWaterMark: 512 * 1024,
      ...(request.guard && proxy === undefined ? { lookup: guardedLookup(request.guard) } : {}),
      ...(secure ? this.#tlsOptions(request) : {}),
    };
    const req = (secure ? https : http).request(url, options);
    // The idle timeout alone would let a server keep us with one header or one 1xx answer a minute.
    let deadline: NodeJS.Timeout | undefined;
    let answered = false;
    const startDeadline = (): void => {
      deadline = setTimeout(() => req.destroy(timeout(`no answer within ${this.#idleMs} ms`)), this.#idleMs);
    };
    // An upload may take long; the wait for its answer begins when all of it is sent.
    if (typeof request.body === 'function') req.once('finish', startDeadline);
    else startDeadline();
    req.on('timeout', () => req.destroy(timeout(`nothing was received for ${this.#idleMs} ms`)));
    req.on('close', () => clearTimeout(deadline));
    // A connection that was idle may have been given up by the server in the moment in which it is used again.
    req.on('error', (e: NodeJS.ErrnoException) => reject(e, !answered && req.reusedSocket && e.code === 'ECONNRESET'));
    req.once('socket', quiet);
    // What a proxy answers to CONNECT is not what the registry says, though it comes in its place.
    req.on('proxyConnect', ({ statusCode }: { statusCode: number }) => {
      if (proxy !== undefined && statusCode !== 200) req.destroy(proxyRefusal(proxy, url, statusCode));
    });
    req.on('response', (body) => {
      answered = true;
      clearTimeout(deadline);
      req.off('finish', startDeadline);
      // A body that breaks is reported to whoever reads it; unread, it must not end the process.
      body.on('error', () => undefined);
      // An answer that came before the request was sent whole: the rest of the request is not wanted, and the connection is of no use.
      if (!req.writableFinished) body.once('end', () => req.destroy());
      resolve({ url, status: body.statusCode ?? 0, headers: body.headers, body, address: proxy ? undefined : body.socket.remoteAddress });
    });
    if (typeof request.body !== 'function') req.end(request.body);
    // What breaks the connection is reported by the request's own error; only the source's error is not known there.
    else pipeline(Readable.from(request.body(), { objectMode: true, highWaterMark: 2 }), req).catch((e) => reject(e, false));
  }

  async #agent(secure: boolean, request: HttpRequest, proxy: URL | undefined): Promise<http.Agent> {
    const key = `${secure} ${request.verifyTls} ${request.own === true} ${proxy?.href ?? ''}`;
    const known = this.#agents.get(key);
    if (known !== undefined) return known;
    const shared = { keepAlive: true, maxSockets: this.#o.connections ?? 8 };
    const made = proxy !== undefined ? await proxyAgent(secure, proxy, shared) : secure ? new https.Agent(shared) : new http.Agent(shared);
    // Another request may have been faster while the module was loaded.
    const first = this.#agents.get(key) ?? made;
    this.#agents.set(key, first);
    return first;
  }

  #tlsOptions(request: HttpRequest): https.RequestOptions {
    const context = request.own === true ? this.#o.tls?.registry : this.#o.tls?.others;
    return {
      minVersion: 'TLSv1.2',
      ...(request.verifyTls ? {} : { rejectUnauthorized: false }),
      ...(context ? { secureContext: context } : {}),
    };
  }
}

/** Loaded when there is a proxy: most programs never need them. */
async function proxyAgent(secure: boolean, proxy: URL, options: http.AgentOptions): Promise<http.Agent> {
  if (secure) return new (await import('https-proxy-agent')).HttpsProxyAgent(proxy, options);
  return new (await import('http-proxy-agent')).HttpProxyAgent(proxy, options);
}

export const PROXY_HINT = 'the proxy wants a user name and password: put them into its URL';

const proxyRefusal = (proxy: URL, url: URL, status: number): ImageError =>
  new ImageError(
    'CTR_IMAGE_REGISTRY',
    `the proxy ${proxy.host} does not lead to ${url.host}: it answers ${status}`,
    { url: shownUrl(url), status },
    { hint: status === 407 ? PROXY_HINT : 'look at HTTPS_PROXY and NO_PROXY, or pass the proxy option' },
  );

const quieted = new WeakSet<object>();

/**
 * Between the end of an answer and the socket's return to its agent nobody listens to it: an abort that destroys it in that moment would
 * end the process. Whoever waits for an answer is told by the request.
 */
function quiet(socket: NodeJS.EventEmitter): void {
  if (quieted.has(socket)) return;
  quieted.add(socket);
  socket.on('error', () => undefined);
}

const timeout = (text: string): Error => Object.assign(new Error(text), { code: 'ETIMEDOUT' });

/** Reads a whole body that must not be longer than `max`. */
export async function readBody(answer: HttpAnswer, max: number, what: string, signal: AbortSignal): Promise<Buffer> {
  const announced = Number(answer.headers['content-length'] ?? 0);
  const tooLong = (): ImageError =>
    new ImageError('CTR_IMAGE_LIMIT', `${what} is longer than ${max} bytes`, { url: shownUrl(answer.url), status: answer.status });
  if (announced > max) {
    answer.body.destroy();
    throw tooLong();
  }
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (bytes > max) throw tooLong();
      chunks.push(chunk);
    }
  } catch (error) {
    throw networkError(error as Error, answer.url, signal);
  }
  return Buffer.concat(chunks, bytes);
}

/** Long enough for a short text on a slow line; a server that drips is cut off. */
const ERROR_BODY_MS = 5000;

/** Reads an uninteresting body, so that the connection can serve again. */
export const discard = async (answer: HttpAnswer): Promise<void> => void (await readErrorBody(answer));

/** Reads the start of an error body, then lets the connection go. Never throws. */
export async function readErrorBody(answer: HttpAnswer): Promise<string> {
  const drip = setTimeout(() => answer.body.destroy(), ERROR_BODY_MS);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes >= MAX_ERROR_BYTES) break;
    }
  } catch {
    // What came before the break is enough to quote from.
  } finally {
    clearTimeout(drip);
  }
  return Buffer.concat(chunks).toString('utf8', 0, MAX_ERROR_BYTES);
}

const HINTS: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there: is the registry running, and is the port right?',
  ENOTFOUND: 'the name of the registry cannot be resolved: check its spelling and the DNS of this machine',
  EAI_AGAIN: 'the DNS did not answer: is this machine connected?',
  ETIMEDOUT: 'the registry did not answer in time: check the network and firewalls',
  ENETUNREACH: 'there is no route to the registry: is this machine connected?',
  EHOSTUNREACH: 'there is no route to the registry: is this machine connected?',
  EPROTO: 'the server there does not speak TLS; for a registry without TLS name it in the insecure option',
  ERR_SSL_WRONG_VERSION_NUMBER: 'the server there does not speak TLS; for a registry without TLS name it in the insecure option',
  CERT: 'its certificate is not trusted: give its authority in the tls option or in certs.d; when the system trusts it (curl does), start Node with NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt, as Node does not read the authorities of the system; or name the registry in the insecure option',
};

const hintFor = (code: string): string | undefined => HINTS[/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS/.test(code) ? 'CERT' : code];

/** Turns an error of node:http, node:net or node:tls into an ImageError; an abort into an AbortError; ours pass. */
export function networkError(error: Error & { code?: string; errors?: Error[] }, url: URL, signal: AbortSignal): Error {
  if (signal.aborted) return new AbortError(`request ${shownUrl(url)}`, signal.reason);
  if (error instanceof CtrError) return error;
  // With several addresses Node tries each and reports them all; the first is what the user asked for.
  const first: Error & { code?: string } = error.errors?.[0] ?? error;
  const code = first.code ?? error.code ?? 'unknown';
  const cause = syscallErrorFrom(first, `connect to ${url.host}`);
  const text = cause instanceof CtrError ? code : `${code}: ${first.message}`;
  return new ImageError(
    'CTR_IMAGE_REGISTRY',
    `reach the registry at ${url.protocol}//${url.host}: ${text.slice(0, 200)}`,
    { url: shownUrl(url) },
    {
      // The errors of the HTTP parser carry the raw packet, which could echo what we sent: only code and text go on.
      cause: cause instanceof CtrError ? cause : Object.assign(new Error(first.message), { code }),
      hint: hintFor(code),
    },
  );
}
