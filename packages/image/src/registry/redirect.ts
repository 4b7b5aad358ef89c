// Redirects, followed by hand: registries keep their blobs elsewhere, and credentials must not go there.
import { ImageError } from '@ctr/internal/errors';
import { MAX_REDIRECTS } from '../limits.js';
import type { Endpoint } from './endpoint.js';
import { discard, type HttpAnswer, type HttpClient, type HttpRequest, type Method, shownUrl } from './http.js';
import { parseUrl } from './parse-url.js';

export interface Followed {
  method: Method;
  headers: Record<string, string>;
  body?: HttpRequest['body'];
  /** Statuses that the caller understands; a redirect among them is not followed. */
  accept: readonly number[];
  signal: AbortSignal;
  /** What the user sees as the thing that failed. */
  what: string;
}

const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** SECURITY: Authorization stays behind once the origin changes, and never comes back (CVE-2020-15157, GHSA-vh4v-2xq2-g5cg). */
export async function follow(http: HttpClient, endpoint: Endpoint, start: URL, request: Followed): Promise<HttpAnswer> {
  let url = start;
  let headers = request.headers;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const answer = await http.send(url, {
      method: request.method,
      headers,
      body: request.body,
      signal: request.signal,
      ...endpoint.rulesFor(url, 'the redirect'),
    });
    endpoint.saw(answer);
    if (!REDIRECTS.has(answer.status) || request.accept.includes(answer.status)) return answer;
    await discard(answer);
    const next = target(url, answer, endpoint);
    if (!['GET', 'HEAD'].includes(request.method)) refuseWrite(next, url, answer);
    if (next.origin !== url.origin) headers = Object.fromEntries(Object.entries(headers).filter(([name]) => name !== 'authorization'));
    url = next;
  }
  throw new ImageError('CTR_IMAGE_REGISTRY', `${request.what}: more than ${MAX_REDIRECTS} redirects`, { url: shownUrl(start) });
}

/** SECURITY: what is written goes to the registry; 307 and 308 within it keep method and body, other redirects would not. */
function refuseWrite(to: URL, from: URL, answer: HttpAnswer): void {
  if (to.origin === from.origin && [307, 308].includes(answer.status)) return;
  throw new ImageError('CTR_IMAGE_REGISTRY', `the redirect of ${from.host} is refused: it would take what we write to ${to.origin}`, {
    url: shownUrl(from),
    status: answer.status,
  });
}

function target(from: URL, answer: HttpAnswer, endpoint: Endpoint): URL {
  const location = answer.headers.location ?? '';
  const refuse = (why: string): never => {
    throw new ImageError('CTR_IMAGE_REGISTRY', `the redirect of ${from.host} is refused: ${why}`, {
      url: shownUrl(from),
      status: answer.status,
    });
  };
  const to = (location === '' ? undefined : parseUrl(location, from)) ?? refuse('it names no URL');
  if (to.protocol !== 'https:' && to.protocol !== 'http:') return refuse(`${to.protocol} is no scheme for it`);
  if (to.username !== '' || to.password !== '') return refuse('its URL names a user');
  if (from.protocol === 'https:' && to.protocol === 'http:' && !endpoint.trusts(to)) return refuse('it leads from https to http');
  return to;
}
