// What a registry tells about a repository page by page: its tags, and what refers to a manifest.
// SPEC(distribution#content-discovery)
import { ImageError } from '@ctr/internal/errors';
import { type Digest, splitDigest } from '../digest.js';
import { Json } from '../document/json.js';
import { type Referrer, readReferrers } from '../document/referrers.js';
import { MAX_MANIFEST_BYTES } from '../limits.js';
import type { RegistryClient } from './client.js';
import { discard, type HttpAnswer, readBody } from './http.js';

/** A registry that always names a next page is stopped by the addresses it repeats, or by this. */
const MAX_PAGES = 10_000;
const MAX_TAGS_IN_PAGE = 100_000;

/** Follows `Link: <…>; rel="next"` from answer to answer. */
async function* pages(
  client: RegistryClient,
  first: string,
  o: { headers?: Record<string, string>; accept: readonly number[]; what: string; signal: AbortSignal },
): AsyncGenerator<{ answer: HttpAnswer; bytes: Buffer }> {
  const seen = new Set<string>();
  let next: string | URL | undefined = first;
  for (let page = 0; next !== undefined; page++) {
    const path: string | URL = next;
    const result = await client.retrying(o.what, o.signal, async (what) => {
      const answer = await client.request({ method: 'GET', path, what, ...pick(o) });
      return { answer, bytes: await readBody(answer, MAX_MANIFEST_BYTES, what, o.signal) };
    });
    yield result;
    const link = nextLink(result.answer.headers.link);
    next = link === undefined ? undefined : await client.resolve(link, result.answer.url, o.what, o.signal);
    if (next === undefined) return;
    if (seen.has(next.href) || page >= MAX_PAGES)
      throw new ImageError('CTR_IMAGE_REGISTRY', `${o.what}: the registry names a next page for ever`);
    seen.add(next.href);
  }
}

const pick = ({ headers, accept, signal }: { headers?: Record<string, string>; accept: readonly number[]; signal: AbortSignal }) => ({
  ...(headers ? { headers } : {}),
  accept,
  signal,
});

/** The target of the first link whose relation is "next"; RFC 8288 allows several links, and parameters in any order. */
export function nextLink(header: string | string[] | undefined): string | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '');
  for (const [, target, parameters] of text.slice(0, 16_384).matchAll(/<([^>]*)>((?:\s*;\s*[A-Za-z*]+(?:=(?:"[^"]*"|[^\s",;]*))?)*)/g))
    if (/;\s*rel=(?:"[^"]*\bnext\b[^"]*"|next\b)/i.test(parameters ?? '')) return target;
  return undefined;
}

/** Tags in the registry's order, which the specification wants to be that of their characters. */
export async function* listTags(client: RegistryClient, o: { pageSize: number; signal: AbortSignal }): AsyncGenerator<string> {
  const what = `list the tags of ${client.registry}/${client.repository}`;
  for await (const { bytes } of pages(client, `tags/list?n=${o.pageSize}`, { accept: [200], what, signal: o.signal })) {
    const tags = Json.parse(bytes, 'list of tags')
      .object()
      .optional('tags', (j) => j.array(MAX_TAGS_IN_PAGE));
    // What is no tag by the grammar could not be asked for either.
    for (const tag of tags ?? []) if (/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(tag.string())) yield tag.string();
  }
}

/** What refers to a manifest; by the referrers API, or by the tag that stands in for it where a registry has no such API. */
export async function* listReferrers(
  client: RegistryClient,
  subject: Digest,
  o: { artifactType: string | undefined; signal: AbortSignal },
): AsyncGenerator<Referrer> {
  const what = `list what refers to ${subject}`;
  const query = o.artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(o.artifactType)}`;
  const wanted = (r: Referrer): boolean => o.artifactType === undefined || r.artifactType === o.artifactType;
  // 400 and 405 are what registries say that take "referrers" for something else.
  for await (const { answer, bytes } of pages(client, `referrers/${subject}${query}`, {
    accept: [200, 400, 404, 405],
    what,
    signal: o.signal,
  })) {
    if (answer.status !== 200) {
      yield* (await fallbackReferrers(client, subject, o.signal)).filter(wanted);
      return;
    }
    // OCI-Filters-Applied says whether it filtered; to look again costs nothing.
    yield* readReferrers(bytes).filter(wanted);
  }
}

/** SPEC(distribution#referrers-tag-schema): the tag `sha256-<hex>` names an index of them. */
export const referrersTag = (subject: Digest): string => {
  const { algorithm, hex } = splitDigest(subject);
  return `${algorithm}-${hex}`.slice(0, 128);
};

/** The entries of the stand-in index; none when there is none. */
export async function fallbackReferrers(client: RegistryClient, subject: Digest, signal: AbortSignal): Promise<Referrer[]> {
  const what = `list what refers to ${subject}`;
  return client.retrying(what, signal, async () => {
    const path = `manifests/${referrersTag(subject)}`;
    const accept = 'application/vnd.oci.image.index.v1+json';
    const answer = await client.request({ method: 'GET', path, headers: { accept }, accept: [200, 404], what, signal });
    if (answer.status === 200) return readReferrers(await readBody(answer, MAX_MANIFEST_BYTES, what, signal));
    await discard(answer);
    return [];
  });
}
