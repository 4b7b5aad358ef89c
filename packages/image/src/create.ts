// Makes images: config and manifest are written around layers. The same input gives the same digests.
import { ImageError, InvalidArgumentError } from '@ctr/internal/errors';
import type { StoreContext } from './context.js';
import { type Digest, digestOf } from './digest.js';
import { CONFIG_FIELDS, type ImageConfig, readConfig } from './document/config.js';
import { Json } from './document/json.js';
import { OCI_CONFIG, OCI_MANIFEST } from './document/media-types.js';
import { readImage } from './find.js';
import type { Image } from './image.js';
import { type LayerMaking, type MadeLayer, makeLayer } from './make-layer.js';
import type { Platform } from './platform.js';
import { putBlob } from './store/blobs.js';
import { Lease } from './store/leases.js';

export interface CreateWork extends LayerMaking {
  wanted: Platform;
  layers: readonly AsyncIterable<Uint8Array>[];
  config: ImageConfig;
  created: string;
  annotations: Readonly<Record<string, string>>;
}

/** Checks a config as one that came from outside, and turns sets into the objects that the specification wants. */
export function checkConfig(config: unknown, path: string): ImageConfig {
  try {
    const given = JSON.parse(JSON.stringify(config ?? {})) as Record<string, unknown>;
    for (const key of ['Volumes', 'ExposedPorts']) if (Array.isArray(given[key])) given[key] = setOf(given[key] as string[]);
    const odd = Object.keys(given).find((key) => !CONFIG_FIELDS.includes(key));
    if (odd !== undefined) throw new InvalidArgumentError(`${path}.${odd}`, `one of ${CONFIG_FIELDS.join(', ')}`, given[odd]);
    return readConfig(Json.parse(Buffer.from(JSON.stringify(given)), path));
  } catch (error) {
    if (error instanceof ImageError) throw new InvalidArgumentError(path, `an OCI image config (${error.message})`, config);
    throw error;
  }
}

const setOf = (names: readonly string[]): Record<string, object> => Object.fromEntries(names.map((name) => [name, {}]));

/** Writes an image into the store and gives it its reference. */
export async function createImage(work: CreateWork): Promise<Image> {
  const { context } = work;
  const lease = new Lease(context.layout);
  try {
    const layers: MadeLayer[] = [];
    for (const tar of work.layers) layers.push(await makeLayer(work, tar, lease));
    return await publishImage(work, configFile(work, layers), layers, work.annotations, lease);
  } finally {
    await lease.release();
  }
}

/** Puts config and manifest around layers that are in the store, and names the whole. */
export async function publishImage(
  { context, reference, wanted }: Pick<CreateWork, 'context' | 'reference' | 'wanted'>,
  configFile: object,
  layers: readonly (Pick<MadeLayer, 'mediaType' | 'digest' | 'size'> & { annotations?: Readonly<Record<string, string>> })[],
  annotations: Readonly<Record<string, string>>,
  lease: Lease,
): Promise<Image> {
  const config = Buffer.from(JSON.stringify(configFile));
  const configDigest = await putLeased(context, config, lease);
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: { mediaType: OCI_CONFIG, digest: configDigest, size: config.length },
      layers: layers.map(({ mediaType, digest, size, annotations = {} }) => ({ mediaType, digest, size, ...annotationsOf(annotations) })),
      ...annotationsOf(annotations),
    }),
  );
  const root = { mediaType: OCI_MANIFEST, digest: await putLeased(context, manifest, lease), size: manifest.length, annotations: {} };
  await context.index.set(reference.name, root);
  return (await readImage(context, reference.name, root, wanted)) as Image;
}

const annotationsOf = (annotations: Readonly<Record<string, string>>): { annotations?: Record<string, string> } =>
  Object.keys(annotations).length === 0 ? {} : { annotations: sorted(annotations) };

/** One order for one content, so that the digest depends on nothing else. */
const sorted = (record: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

async function putLeased(context: StoreContext, bytes: Buffer, lease: Lease): Promise<Digest> {
  const digest = digestOf(bytes);
  await lease.add({ blobs: [digest] });
  return putBlob(context.layout, bytes, digest);
}

/** A config as it is written: Docker and the specification want sets as objects. */
export const configJson = (config: ImageConfig): object => ({
  ...config,
  ...(config.Volumes ? { Volumes: setOf(config.Volumes) } : {}),
  ...(config.ExposedPorts ? { ExposedPorts: setOf(config.ExposedPorts) } : {}),
});

/** SPEC(config): fields in a fixed order, so that the digest depends on the content only. */
function configFile(work: CreateWork, layers: readonly MadeLayer[]): object {
  const { config, wanted, created } = work;
  return {
    created,
    architecture: wanted.architecture,
    os: wanted.os,
    ...(wanted.variant ? { variant: wanted.variant } : {}),
    config: configJson(config),
    rootfs: { type: 'layers', diff_ids: layers.map((layer) => layer.diffId) },
    history: layers.map(() => ({ created, created_by: 'ctr' })),
  };
}
