// Where a registry is reached: which scheme it speaks, how near it is, and whom besides it we talk to.
import { AbortError, ImageError } from '@ctr/internal/errors';
import { type AddressGuard, guardFor, isLoopbackHost, type Reach, reachOf } from './address.js';
import { type HttpAnswer, type HttpClient, readErrorBody, shownUrl } from './http.js';

/** The origin of one registry and what was learnt about it. */
export class Endpoint {
  readonly url: URL;
  readonly #insecure: boolean;
  readonly #trusted: ReadonlySet<string>;
  #reach: Reach = 'public';

  constructor(url: URL, insecure: boolean, trusted: ReadonlySet<string>) {
    this.url = url;
    this.#insecure = insecure;
    this.#trusted = trusted;
  }

  owns(url: URL): boolean {
    return url.origin === this.url.origin;
  }

  trusts(url: URL): boolean {
    return this.#trusted.has(url.origin);
  }

  /** Notes from which address the registry itself answered: that is how near others may be. */
  saw(answer: HttpAnswer): void {
    if (this.owns(answer.url) && answer.address !== undefined) this.#reach = reachOf(answer.address);
  }

  /** How a URL that this registry led us to may be reached. */
  rulesFor(url: URL, what: string): { guard: AddressGuard | undefined; verifyTls: boolean; own: boolean } {
    const own = this.owns(url);
    const guard = own || this.trusts(url) ? undefined : guardFor(this.#reach, `${what} of ${this.url.host}`);
    return { guard, verifyTls: !(own && this.#insecure), own };
  }
}

/** https only; on this machine http first; a registry called insecure https first and then http. */
function candidates(registry: string, insecure: boolean): URL[] {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  const [https, http] = [new URL(`https://${host}/`), new URL(`http://${host}/`)];
  if (isLoopbackHost(https.hostname)) return [http, https];
  return insecure ? [https, http] : [https];
}

/** Finds the scheme that the registry speaks; asks it only when there is a choice. */
export async function findEndpoint(
  http: HttpClient,
  o: { registry: string; insecure: boolean; trusted: ReadonlySet<string> },
  signal: AbortSignal,
): Promise<Endpoint> {
  const endpoints = candidates(o.registry, o.insecure).map((url) => new Endpoint(url, o.insecure, o.trusted));
  const failures: unknown[] = [];
  for (const endpoint of endpoints) {
    try {
      if (endpoints.length > 1) await ping(http, endpoint, signal);
      return endpoint;
    } catch (error) {
      if (error instanceof AbortError) throw error;
      failures.push(error);
    }
  }
  throw failures.find((e) => !isWrongProtocol(e)) ?? failures[0];
}

async function ping(http: HttpClient, endpoint: Endpoint, signal: AbortSignal): Promise<void> {
  const url = new URL('v2/', endpoint.url);
  const answer = await http.send(url, { method: 'GET', headers: {}, signal, ...endpoint.rulesFor(url, 'the address') });
  endpoint.saw(answer);
  const text = await readErrorBody(answer);
  // Go's server says so in words; others cut the connection.
  if (answer.status === 400 && /https/i.test(text)) throw wrongProtocol(url);
}

const wrongProtocol = (url: URL): ImageError =>
  new ImageError(
    'CTR_IMAGE_REGISTRY',
    `the registry at ${url.host} speaks TLS`,
    { url: shownUrl(url) },
    { cause: Object.assign(new Error('TLS'), { code: 'EPROTO' }) },
  );

/** The errors that http spoken to TLS gives, or the reverse: the other scheme's error tells more. */
function isWrongProtocol(error: unknown): boolean {
  const code = error instanceof ImageError ? (error.cause as { code?: string } | undefined)?.code : undefined;
  return code !== undefined && /^(EPROTO|ECONNRESET|HPE_|ERR_SSL_)/.test(code);
}
