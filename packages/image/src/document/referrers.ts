// The answer to "what refers to this manifest?": an index whose entries say what kind of thing they are.
import type { Digest } from '../digest.js';
import { MAX_INDEX_ENTRIES } from '../limits.js';
import { Json } from './json.js';
import { readDescriptor } from './manifest.js';

/** A manifest that names another as its subject: a signature, a list of contents, an attestation. */
export interface Referrer {
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
  /** What it is, such as `application/vnd.dev.cosign.artifact.sig.v1+json`; `undefined` when it does not say. */
  readonly artifactType: string | undefined;
  readonly annotations: Readonly<Record<string, string>>;
}

/** SPEC(distribution#listing-referrers) */
export function readReferrers(bytes: Uint8Array): Referrer[] {
  const json = Json.parse(bytes, 'list of referrers').object();
  return json
    .get('manifests')
    .array(MAX_INDEX_ENTRIES)
    .map((entry) => ({ ...readDescriptor(entry), artifactType: entry.optional('artifactType', (j) => j.string()) }));
}
