// Manifests and indexes, OCI's and Docker's: one parse of the exact bytes, one decision about what they are.
import { ImageError } from '@ctr/internal/errors';
import { type Digest, parseDigest } from '../digest.js';
import { MAX_INDEX_ENTRIES, MAX_LAYERS } from '../limits.js';
import { normalizePlatform, type Platform } from '../platform.js';
import { Json } from './json.js';
import { bareType, type DocumentKind, kindOf, OCI_INDEX, OCI_MANIFEST } from './media-types.js';

/** A pointer at content: SPEC(descriptor). Foreign `urls` are dropped on purpose: they are never fetched (CVE-2020-15157). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface IndexEntry extends Descriptor {
  readonly platform: Platform | undefined;
}

export interface Index {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly IndexEntry[];
}

export interface Manifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/**
 * Reads a manifest or an index.
 *
 * SECURITY: which of the two it is follows from the bytes alone (CVE-2021-41190): a document that could be both, or whose own
 * mediaType or whose announced type says otherwise, is refused.
 *
 * @param announced - Content-Type of the answer, or the mediaType of the descriptor that led here.
 * @throws {ImageError} CTR_IMAGE_INVALID or CTR_IMAGE_LIMIT.
 */
export function parseDocument(bytes: Uint8Array, announced: string | undefined, where = 'manifest'): Index | Manifest {
  const json = Json.parse(bytes, where).object();
  const mediaType = json.optional('mediaType', (j) => j.string());
  refuseSchema1(json, [mediaType, bareType(announced)], where);
  const kind = kindOfContent(json, where);
  for (const [name, type] of [
    ['its mediaType', mediaType],
    ['the type it was sent as', bareType(announced)],
  ] as const) {
    const said = type ? kindOf(type) : undefined;
    if (said !== undefined && said !== kind) throw ambiguous(where, `its content is that of an ${kind}, ${name} is ${type}`);
  }
  if (mediaType !== undefined && kindOf(mediaType) !== kind)
    throw ambiguous(where, `mediaType ${JSON.stringify(mediaType.slice(0, 100))} is not known`);
  if (mediaType !== undefined && kindOf(bareType(announced)) !== undefined && bareType(announced) !== mediaType)
    throw ambiguous(where, `it was sent as ${bareType(announced)} and calls itself ${mediaType}`);
  return kind === 'index' ? readIndex(json, mediaType ?? OCI_INDEX) : readManifest(json, mediaType ?? OCI_MANIFEST);
}

const ambiguous = (where: string, why: string): ImageError => new ImageError('CTR_IMAGE_INVALID', `${where} is ambiguous: ${why}`);

function refuseSchema1(json: Json, types: readonly (string | undefined)[], where: string): void {
  const old = json.value as { schemaVersion?: unknown; signatures?: unknown; fsLayers?: unknown };
  if (!types.some((t) => t && kindOf(t) === 'schema1') && old.schemaVersion !== 1 && old.fsLayers === undefined) return;
  throw new ImageError(
    'CTR_IMAGE_INVALID',
    `${where} has Docker's schema 1, which is not supported: its layers cannot be verified`,
    undefined,
    {
      hint: 'push the image again with a current tool, which writes schema 2 or OCI',
    },
  );
}

/** By structure: an index has `manifests`, a manifest has `config` and `layers`. */
function kindOfContent(json: Json, where: string): DocumentKind {
  const keys = new Set(json.keys());
  const index = keys.has('manifests');
  const manifest = keys.has('layers') || keys.has('config');
  if (index && manifest) throw ambiguous(where, 'it has both "manifests" and "layers" or "config"');
  if (json.get('schemaVersion').value !== 2) json.get('schemaVersion').fail('2');
  if (index) return 'index';
  if (!keys.has('layers') || !keys.has('config'))
    throw new ImageError('CTR_IMAGE_INVALID', `${where} is neither an image manifest nor an index`);
  return 'manifest';
}

const readAnnotations = (json: Json): Record<string, string> => json.optional('annotations', (j) => j.record((v) => v.string())) ?? {};

export function readDescriptor(json: Json): Descriptor {
  json.object();
  return {
    mediaType: json.get('mediaType').string(),
    digest: parseDigest(json.get('digest').value, json.get('digest').where),
    size: json.get('size').size(),
    annotations: readAnnotations(json),
  };
}

/** An entry whose platform says too little is no candidate, but no reason to refuse the others. */
function readPlatform(json: Json): Platform | undefined {
  json.object();
  const [os, architecture, variant] = ['os', 'architecture', 'variant'].map((key) => json.optional(key, (j) => j.string()));
  return os && architecture ? normalizePlatform({ os, architecture, variant }) : undefined;
}

export function readIndex(json: Json, mediaType: string): Index {
  const manifests = json
    .get('manifests')
    .array(MAX_INDEX_ENTRIES)
    .map((entry) => ({ ...readDescriptor(entry), platform: entry.optional('platform', readPlatform) }));
  return { kind: 'index', mediaType, manifests };
}

function readManifest(json: Json, mediaType: string): Manifest {
  return {
    kind: 'manifest',
    mediaType,
    config: readDescriptor(json.get('config')),
    layers: json.get('layers').array(MAX_LAYERS).map(readDescriptor),
    annotations: readAnnotations(json),
  };
}
