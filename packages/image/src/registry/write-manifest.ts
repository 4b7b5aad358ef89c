// Puts manifests into a repository and takes them out again. SPEC(distribution#pushing-manifests, #content-management)
import { ImageError } from '@ctr/internal/errors';
import { type Digest, digestOf, splitDigest } from '../digest.js';
import { OCI_INDEX } from '../document/media-types.js';
import type { Referrer } from '../document/referrers.js';
import type { RegistryClient } from './client.js';
import { discard } from './http.js';
import { fallbackReferrers, referrersTag } from './listing.js';
import { pause } from './retry.js';

/** A document to push: the bytes are sent as they are. */
export interface OutgoingManifest {
  bytes: Uint8Array;
  mediaType: string;
  digest: Digest;
  /** What it says it refers to. */
  subject?: { digest: Digest; artifactType: string | undefined; annotations: Readonly<Record<string, string>> } | undefined;
}

/** Pushes one manifest or index under a tag or its digest. What it points at must be there already. */
export async function putManifest(
  client: RegistryClient,
  name: string | Digest,
  document: OutgoingManifest,
  signal: AbortSignal,
): Promise<void> {
  const { bytes, mediaType, digest } = document;
  const handled = await client.retrying(`push ${client.registry}/${client.repository}:${name}`, signal, async (what) => {
    const headers = { 'content-type': mediaType, 'content-length': String(bytes.length) };
    const answer = await client.request({
      method: 'PUT',
      path: `manifests/${name}`,
      headers,
      body: bytes,
      accept: [201, 200, 202, 204],
      what,
      signal,
    });
    await discard(answer);
    const said = answer.headers['docker-content-digest'];
    if (said !== undefined && said !== digest && String(said).startsWith(`${splitDigest(digest).algorithm}:`))
      throw new ImageError('CTR_IMAGE_DIGEST_MISMATCH', `${what}: the registry stored ${String(said).slice(0, 140)} instead of ${digest}`, {
        digest,
      });
    return answer.headers['oci-subject'] !== undefined;
  });
  if (document.subject !== undefined && !handled) await addFallbackReferrer(client, document, document.subject, signal);
}

/** How often others may come in between before we give up. */
const RACES = 10;
const RACE_DELAY_MS = 50;

/** Those of this process wait for each other. */
const turns = new Map<string, Promise<unknown>>();

/**
 * For registries without the referrers API: the index under the stand-in tag gets an entry. SPEC(distribution#referrers-tag-schema)
 * leaves it to clients not to lose what others add at the same time, and registries know no "replace if unchanged": so whoever wrote
 * looks whether his entry is there, and adds it again to what is there now when it is not.
 */
async function addFallbackReferrer(
  client: RegistryClient,
  document: OutgoingManifest,
  subject: NonNullable<OutgoingManifest['subject']>,
  signal: AbortSignal,
): Promise<void> {
  const key = `${client.registry}/${client.repository}@${subject.digest}`;
  const turn = (turns.get(key) ?? Promise.resolve()).then(() => addUntilThere(client, document, subject, signal));
  const settled = turn.catch(() => undefined);
  turns.set(key, settled);
  try {
    await turn;
  } finally {
    if (turns.get(key) === settled) turns.delete(key);
  }
}

async function addUntilThere(
  client: RegistryClient,
  { bytes, mediaType, digest }: OutgoingManifest,
  subject: NonNullable<OutgoingManifest['subject']>,
  signal: AbortSignal,
): Promise<void> {
  const { artifactType, annotations } = subject;
  const what = `note in ${client.registry}/${client.repository} that ${digest} refers to ${subject.digest}`;
  for (let tries = 0; ; tries++) {
    const known = await fallbackReferrers(client, subject.digest, signal);
    if (known.some((r) => r.digest === digest)) return;
    if (tries > RACES)
      throw new ImageError('CTR_IMAGE_REGISTRY', `${what}: others change the list all the time`, { digest }, { hint: 'push it again' });
    // Whoever lost waits longer than whoever has just begun.
    if (tries > 0) await pause(RACE_DELAY_MS * tries * (0.5 + Math.random()), what, signal);
    const index = indexOf([...known, { mediaType, digest, size: bytes.length, artifactType, annotations }]);
    const list = { bytes: index, mediaType: OCI_INDEX, digest: digestOf(index, splitDigest(subject.digest).algorithm) };
    await putManifest(client, referrersTag(subject.digest), list, signal);
  }
}

function indexOf(referrers: readonly Referrer[]): Buffer {
  const manifests = referrers.map(({ mediaType, digest, size, artifactType, annotations }) => ({
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  }));
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }));
}

/** Deletes a tag, a manifest by its digest, or a blob; false when it was not there. */
export async function deleteThere(
  client: RegistryClient,
  kind: 'manifests' | 'blobs',
  name: string | Digest,
  signal: AbortSignal,
): Promise<boolean> {
  return client.retrying(`delete ${name} from ${client.registry}/${client.repository}`, signal, async (what) => {
    const answer = await client.request({ method: 'DELETE', path: `${kind}/${name}`, accept: [200, 202, 204, 404, 405], what, signal });
    await discard(answer);
    if (answer.status === 405)
      throw new ImageError(
        'CTR_IMAGE_REGISTRY',
        `${what}: the registry does not allow that`,
        { status: 405 },
        { hint: 'deleting is switched off there; docker’s registry wants storage.delete.enabled, and digests instead of tags' },
      );
    return answer.status !== 404;
  });
}
