// Bearer tokens: where they may be asked for, the request, and the cache.
import { createHash } from 'node:crypto';
import { ImageError } from '@ctr/internal/errors';
import { Json } from '../document/json.js';
import { MAX_TOKEN_BYTES } from '../limits.js';
import type { AddressGuard } from './address.js';
import type { RegistryAuth } from './credentials.js';
import { type HttpClient, readBody, readErrorBody, shownUrl } from './http.js';
import { parseUrl } from './parse-url.js';
import { isTransientStatus, parseRetryAfter, Transient } from './retry.js';

export interface TokenQuestion {
  realm: URL;
  service: string | undefined;
  scopes: readonly string[];
  auth: RegistryAuth | undefined;
}

/** A token and until when it holds, on the monotonic clock. */
export interface Token {
  readonly value: string;
  readonly expiresAt: number;
}

/**
 * SECURITY: the realm is chosen by whoever answers as the registry (CVE-2026-33540 and its kin). It must be https, or the registry's own
 * origin, or an origin that the user named; relative URLs, other schemes and URLs with a user in them are refused.
 */
export function parseRealm(realm: string | undefined, registry: URL, trusted: ReadonlySet<string>): URL {
  const refuse = (why: string): never => {
    throw new ImageError(
      'CTR_IMAGE_AUTH',
      `the registry ${registry.host} sends us to a token server that is refused: ${why}`,
      { url: shownUrl(registry) },
      {
        hint: 'if that is right, name its origin in the trustedOrigins option',
      },
    );
  };
  const url = parseUrl(realm ?? '') ?? refuse('its realm is no absolute URL');
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return refuse(`${url.protocol} is no scheme for it`);
  if (url.username !== '' || url.password !== '') return refuse('its URL names a user');
  if (url.origin === registry.origin || trusted.has(url.origin)) return url;
  return url.protocol === 'https:' ? url : refuse(`${url.origin} is neither https nor the registry itself`);
}

const DEFAULT_LIFE_S = 60;
const MAX_LIFE_S = 3600;
/** Tokens kept; the oldest goes first. */
const MAX_TOKENS = 256;

/** SPEC(token): expires_in defaults to 60; nonsense counts as the default, and no answer makes a token immortal. */
function lifeOf(json: Json): number {
  const said = json.get('expires_in').value;
  const seconds = typeof said === 'number' && Number.isFinite(said) && said > 0 ? said : DEFAULT_LIFE_S;
  return Math.min(Math.max(seconds, DEFAULT_LIFE_S), MAX_LIFE_S);
}

function readToken(body: Buffer, realm: URL): Token {
  const fail = (why: string): never => {
    throw new ImageError('CTR_IMAGE_AUTH', `the token server ${realm.host} gave no usable token: ${why}`, { url: shownUrl(realm) });
  };
  let json: Json;
  try {
    json = Json.parse(body, 'its answer').object();
  } catch {
    return fail('its answer is no JSON object');
  }
  const value = [json.get('token').value, json.get('access_token').value].find((v) => typeof v === 'string' && v !== '');
  // It goes into a header: no spaces, no line ends, nothing outside ASCII.
  if (typeof value !== 'string' || !/^[\x21-\x7e]{1,65536}$/.test(value)) return fail('"token" and "access_token" are absent or malformed');
  return { value, expiresAt: performance.now() + lifeOf(json) * 1000 * 0.9 };
}

/** GET with Basic credentials or none, as docker does; a refresh token goes by POST (OAuth 2), as it must not be in a URL. */
function tokenRequest(q: TokenQuestion): { url: URL; method: 'GET' | 'POST'; headers: Record<string, string>; body?: string } {
  const url = new URL(q.realm);
  if (q.auth !== undefined && 'identityToken' in q.auth) {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: q.auth.identityToken,
      client_id: 'ctr-image',
      scope: q.scopes.join(' '),
    });
    if (q.service !== undefined) form.set('service', q.service);
    const body = form.toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(Buffer.byteLength(body)) };
    return { url, method: 'POST', headers, body };
  }
  if (q.service !== undefined) url.searchParams.set('service', q.service);
  for (const scope of q.scopes) url.searchParams.append('scope', scope);
  return { url, method: 'GET', headers: q.auth !== undefined && 'username' in q.auth ? { authorization: basicHeader(q.auth) } : {} };
}

export const basicHeader = (auth: { username: string; password: string }): string =>
  `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString('base64')}`;

export interface TokenContext {
  http: HttpClient;
  signal: AbortSignal;
  guard: AddressGuard | undefined;
  verifyTls: boolean;
  helperHint: string | undefined;
}

/** Asks the token server once. Its redirects are not followed: credentials would go along. */
export async function requestToken(q: TokenQuestion, c: TokenContext): Promise<Token> {
  const { url, method, headers, body } = tokenRequest(q);
  const answer = await c.http.send(url, {
    method,
    headers,
    signal: c.signal,
    guard: c.guard,
    verifyTls: c.verifyTls,
    ...(body ? { body } : {}),
  });
  if (answer.status === 200) return readToken(await readBody(answer, MAX_TOKEN_BYTES, 'the answer of the token server', c.signal), url);
  await readErrorBody(answer);
  const facts = { url: shownUrl(url), status: answer.status };
  if (isTransientStatus(answer.status))
    throw new Transient(
      new ImageError('CTR_IMAGE_REGISTRY', `the token server ${url.host} answers ${answer.status}`, facts),
      parseRetryAfter(answer.headers['retry-after']),
    );
  const refused = answer.status === 401 || answer.status === 403 || answer.status === 400;
  throw new ImageError(
    'CTR_IMAGE_AUTH',
    `the token server ${url.host} ${refused ? 'refuses us' : 'gives no token'}: status ${answer.status}`,
    facts,
    {
      hint:
        c.helperHint ?? (q.auth === undefined ? 'log in: pass the auth option, or run "docker login"' : 'check the user name and password'),
    },
  );
}

interface Entry {
  asked: Promise<Token>;
  /** Set once it came. */
  token?: Token;
}

/** Tokens of one store, shared by its pulls. Keys hold a hash of the credentials, so one user's token never serves another. */
export class TokenCache {
  readonly #entries = new Map<string, Entry>();

  static key(registry: URL, q: TokenQuestion): string {
    const who = q.auth === undefined ? 'anonymous' : createHash('sha256').update(JSON.stringify(q.auth)).digest('base64');
    return JSON.stringify([registry.origin, q.realm.href, q.service, [...q.scopes].sort(), who]);
  }

  /** The token under a key, asked for by `request` when there is none that still holds. Askers at one time share one request. */
  async get(key: string, request: () => Promise<Token>): Promise<string> {
    const known = this.#entries.get(key);
    const token = await known?.asked.catch(() => undefined);
    if (token !== undefined && token.expiresAt > performance.now()) return token.value;
    // Whoever waited for the same answer may have begun to ask anew.
    const now = this.#entries.get(key);
    if (now !== known && now !== undefined) return this.get(key, request);
    if (this.#entries.size >= MAX_TOKENS) this.#entries.delete(this.#entries.keys().next().value as string);
    return this.#ask(key, request);
  }

  async #ask(key: string, request: () => Promise<Token>): Promise<string> {
    const entry: Entry = { asked: request() };
    this.#entries.set(key, entry);
    try {
      entry.token = await entry.asked;
      return entry.token.value;
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
      throw error;
    }
  }

  /** Forgets a token that the registry did not accept. */
  drop(key: string, value: string): void {
    if (this.#entries.get(key)?.token?.value === value) this.#entries.delete(key);
  }
}
