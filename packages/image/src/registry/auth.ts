// Answers a registry's 401: Basic credentials or a bearer token, for one registry origin and one repository.
import { ImageError } from '@ctr/internal/errors';
import { MAX_AUTH_ROUNDS } from '../limits.js';
import { type Challenge, parseChallenges } from './challenge.js';
import type { FoundCredentials, RegistryAuth } from './credentials.js';
import { type HttpAnswer, shownUrl } from './http.js';
import { type OnWait, type RetryOptions, retrying } from './retry.js';
import { basicHeader, parseRealm, requestToken, TokenCache, type TokenContext, type TokenQuestion } from './token.js';

export interface AuthenticatorOptions {
  registry: URL;
  repository: string;
  /** What is asked for from the first: `repository:NAME:pull,push`. */
  scopes: readonly string[];
  credentials: FoundCredentials;
  trusted: ReadonlySet<string>;
  cache: TokenCache;
  retry: RetryOptions;
  onWait?: OnWait | undefined;
}

/** What a token request needs beyond the question; made anew for each request, as the signal is the request's. */
export type ContextFor = (realm: URL) => TokenContext;

const MAX_SCOPE = 1024;

/** Holds what worked last, so that only the first request of a pull is answered 401. Never shown by inspect: all fields are private. */
export class Authenticator {
  readonly #o: AuthenticatorOptions;
  #header: string | undefined;
  #used: { key: string; value: string } | undefined;
  #asked: TokenQuestion | undefined;

  constructor(options: AuthenticatorOptions) {
    this.#o = options;
    const auth = options.credentials.auth;
    if (auth !== undefined && 'bearerToken' in auth) this.#header = `Bearer ${auth.bearerToken}`;
  }

  /** The Authorization header for the next request; undefined for none. A token near its end is renewed first. */
  async header(context: ContextFor): Promise<string | undefined> {
    if (this.#asked !== undefined) await this.#takeToken(this.#asked, context(this.#asked.realm));
    return this.#header;
  }

  /** Gets new credentials after a 401 to a request with the header `sent`. `round` counts the 401s of this request, from 1. */
  async answer(refusal: HttpAnswer, sent: string | undefined, round: number, context: ContextFor): Promise<void> {
    // A request beside this one was faster: what it got is tried first.
    if (round === 1 && this.#header !== undefined && sent !== this.#header) return;
    const challenges = parseChallenges(refusal.headers['www-authenticate']);
    const bearer = challenges.find((c) => c.scheme === 'bearer');
    const { auth } = this.#o.credentials;
    if (round > MAX_AUTH_ROUNDS || (auth !== undefined && 'bearerToken' in auth)) throw this.#refused(refusal);
    if (bearer !== undefined) return this.#answerBearer(bearer, context);
    const basic = auth !== undefined && 'username' in auth && challenges.some((c) => c.scheme === 'basic') ? basicHeader(auth) : undefined;
    if (basic === undefined || basic === sent) throw this.#refused(refusal);
    this.#header = basic;
  }

  async #answerBearer(challenge: Challenge, context: ContextFor): Promise<void> {
    if (this.#used !== undefined) this.#o.cache.drop(this.#used.key, this.#used.value);
    const realm = parseRealm(challenge.parameters.get('realm'), this.#o.registry, this.#o.trusted);
    const scopes = mergeScopes([...this.#o.scopes, ...(this.#asked?.scopes ?? []), ...readScopes(challenge)]);
    this.#asked = { realm, service: challenge.parameters.get('service'), scopes: scopes.slice(0, 10), auth: this.#o.credentials.auth };
    await this.#takeToken(this.#asked, context(realm));
  }

  async #takeToken(question: TokenQuestion, context: TokenContext): Promise<void> {
    const key = TokenCache.key(this.#o.registry, question);
    const what = `ask ${question.realm.host} for a token`;
    const value = await this.#o.cache.get(key, () =>
      retrying(what, this.#o.retry, context.signal, () => requestToken(question, context), this.#o.onWait),
    );
    this.#used = { key, value };
    this.#header = `Bearer ${value}`;
  }

  #refused(answer: HttpAnswer): ImageError {
    const { registry, repository, credentials } = this.#o;
    const hint =
      credentials.auth === undefined ? adviceWithout(credentials) : 'check the user name, the password and the rights to this repository';
    return new ImageError(
      'CTR_IMAGE_AUTH',
      `the registry ${registry.host} does not let us into ${repository}`,
      { url: shownUrl(answer.url), status: answer.status },
      { hint },
    );
  }

  /** Takes every secret that we sent out of a text that the server sent back. */
  redact(text: string): string {
    return secretsOf(this.#o.credentials.auth, this.#header).reduce((t, secret) => t.replaceAll(secret, '***'), text);
  }
}

/** Advice when nothing was sent because nothing was found. */
export const adviceWithout = ({ helper, problem, unreadable }: FoundCredentials): string => {
  if (helper !== undefined)
    return `the helper docker-credential-${helper} gave no credentials for it${problem ? `: ${problem}` : ''}; log in with "docker login", or pass the auth option`;
  if (unreadable !== undefined)
    return `${unreadable} may hold its credentials, but this user may not read it: change its owner, set REGISTRY_AUTH_FILE, or pass the auth option`;
  return 'the repository may be private or not exist: log in with "docker login", or pass the auth option';
};

/** Scopes of the challenge, which may name the repository otherwise than the reference does (proxies); only ones without odd characters. */
function readScopes(challenge: Challenge): string[] {
  const scope = challenge.parameters.get('scope') ?? '';
  return scope.length > MAX_SCOPE ? [] : scope.split(' ').filter((s) => /^[\x21\x23-\x5b\x5d-\x7e]+$/.test(s));
}

/** One scope for each resource, with all actions that are wanted of it: `repository:a/b:pull,push`. */
export function mergeScopes(scopes: readonly string[]): string[] {
  const merged = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const colon = scope.lastIndexOf(':');
    const [resource, actions] = colon < 0 ? [scope, []] : [scope.slice(0, colon), scope.slice(colon + 1).split(',')];
    const known = merged.get(resource) ?? new Set();
    for (const action of actions) known.add(action);
    merged.set(resource, known);
  }
  return [...merged].map(([resource, actions]) => (actions.size === 0 ? resource : `${resource}:${[...actions].join(',')}`));
}

function secretsOf(auth: RegistryAuth | undefined, header: string | undefined): string[] {
  const fromAuth = auth === undefined ? [] : Object.entries(auth).flatMap(([k, v]) => (k === 'username' ? [] : [v]));
  const sent = header?.split(' ')[1];
  const basic = auth !== undefined && 'username' in auth ? [basicHeader(auth).slice(6)] : [];
  return [...fromAuth, ...basic, ...(sent ? [sent] : [])].filter((s) => s !== '');
}
