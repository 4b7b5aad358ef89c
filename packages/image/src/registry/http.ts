// One HTTP exchange: own agents, no redirects, no decoding, deadlines, and errors that say what could not be reached.
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { AbortError, CtrError, ImageError, syscallErrorFrom } from '@ctr/internal/errors';
import { MAX_ERROR_BYTES } from '../limits.js';
import { type AddressGuard, guardedLookup } from './address.js';

export interface HttpRequest {
  method: 'GET' | 'HEAD' | 'POST';
  headers: Record<string, string>;
  body?: string;
  signal: AbortSignal;
  /** Checks the address that is connected to; undefined for a host that the user named. */
  guard?: AddressGuard | undefined;
  /** False for registries that the user called insecure. */
  verifyTls: boolean;
}

export interface HttpAnswer {
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Must be read to the end or destroyed. */
  readonly body: IncomingMessage;
  /** Address of the peer; undefined when the connection is gone already. */
  readonly address: string | undefined;
}

/** A URL fit for a message: no user, no password, no query (signed URLs carry secrets there). */
export const shownUrl = (url: URL): string => `${url.protocol}//${url.host}${url.pathname}`;

const USER_AGENT = 'ctr-image/0.1 (node)';

/** A small client over node:http; `close()` gives up its idle connections. */
export class HttpClient {
  readonly #idleMs: number;
  readonly #plain: http.Agent;
  readonly #tls: https.Agent;
  readonly #unverified: https.Agent;

  constructor(options: { idleTimeoutMs: number; connections?: number }) {
    this.#idleMs = options.idleTimeoutMs;
    const shared = { keepAlive: true, maxSockets: options.connections ?? 8 };
    this.#plain = new http.Agent(shared);
    this.#tls = new https.Agent({ ...shared, minVersion: 'TLSv1.2' });
    this.#unverified = new https.Agent({ ...shared, minVersion: 'TLSv1.2', rejectUnauthorized: false });
  }

  close(): void {
    for (const agent of [this.#plain, this.#tls, this.#unverified]) agent.destroy();
  }

  /** Sends one request and resolves with the head of the answer. */
  send(url: URL, request: HttpRequest): Promise<HttpAnswer> {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    // node:net asks `lookup` for names only, so a literal address is judged here.
    const refused = request.guard !== undefined && isIP(host) !== 0 ? request.guard(host) : undefined;
    if (refused) return Promise.reject(refused);
    return new Promise((resolve, reject) => this.#exchange(url, request, resolve, (e) => reject(networkError(e, url, request.signal))));
  }

  #exchange(url: URL, request: HttpRequest, resolve: (a: HttpAnswer) => void, reject: (e: Error) => void): void {
    const secure = url.protocol === 'https:';
    const agent = secure ? (request.verifyTls ? this.#tls : this.#unverified) : this.#plain;
    const options: https.RequestOptions & { highWaterMark: number } = {
      agent,
      method: request.method,
      headers: { 'user-agent': USER_AGENT, 'accept-encoding': 'identity', ...request.headers },
      signal: request.signal,
      timeout: this.#idleMs,
      // Passed on to the socket: larger reads cost a third less CPU than the default.
      highWaterMark: 512 * 1024,
      ...(request.guard ? { lookup: guardedLookup(request.guard) } : {}),
    };
    const req = (secure ? https : http).request(url, options);
    // The idle timeout alone would let a server keep us with one header or one 1xx answer a minute.
    const deadline = setTimeout(() => req.destroy(timeout(`no answer within ${this.#idleMs} ms`)), this.#idleMs);
    req.on('timeout', () => req.destroy(timeout(`nothing was received for ${this.#idleMs} ms`)));
    req.on('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    req.on('response', (body) => {
      clearTimeout(deadline);
      // A body that breaks is reported to whoever reads it; unread, it must not end the process.
      body.on('error', () => undefined);
      resolve({ url, status: body.statusCode ?? 0, headers: body.headers, body, address: body.socket.remoteAddress });
    });
    req.end(request.body);
  }
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
  CERT: 'its certificate is not trusted: add the authority with NODE_EXTRA_CA_CERTS, or name the registry in the insecure option',
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
