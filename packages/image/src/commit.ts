// Makes an image out of another: a layer of changes on top, another config, or both. What is not changed stays as it was.
import { ImageError, InvalidArgumentError } from '@ctr/internal/errors';
import { checkConfig, configJson, publishImage } from './create.js';
import { CONFIG_FIELDS, type ImageConfig } from './document/config.js';
import { parseDocument } from './document/manifest.js';
import { ociLayerType } from './document/media-types.js';
import type { Image } from './image.js';
import { MAX_LAYERS, MAX_MANIFEST_BYTES } from './limits.js';
import { type LayerMaking, type MadeLayer, makeLayer } from './make-layer.js';
import { parsePlatform } from './platform.js';
import { hasBlob, readBlob } from './store/blobs.js';
import { Lease } from './store/leases.js';

/** Changes of a config: fields that are given replace the image's, `null` takes one away; or a function of the whole. */
export type ConfigChanges = { [K in keyof ImageConfig]?: ImageConfig[K] | null } | ((config: ImageConfig) => ImageConfig);

export interface CommitWork extends LayerMaking {
  base: Image;
  /** Undefined: only the config changes. */
  changes: AsyncIterable<Uint8Array> | undefined;
  config: ConfigChanges;
  created: string;
  author: string | undefined;
  message: string | undefined;
  annotations: Readonly<Record<string, string>>;
}

export async function commitImage(work: CommitWork): Promise<Image> {
  const { base, context } = work;
  if (base.layers.length + (work.changes ? 1 : 0) > MAX_LAYERS)
    throw new ImageError(
      'CTR_IMAGE_LIMIT',
      `${base.reference} has ${base.layers.length} layers, at most ${MAX_LAYERS} are possible`,
      { reference: base.reference },
      { hint: 'make one layer of them: create an image from flatten()' },
    );
  const lease = new Lease(context.layout);
  try {
    await lease.add({ blobs: base.layers.map((l) => l.digest), layers: base.layers.map((l) => l.diffId) });
    await requireLayers(work);
    const [file, noted] = [await baseConfig(work), await layerAnnotations(work)];
    const config = changedConfig(base.config, work.config);
    const made = work.changes === undefined ? undefined : await makeLayer(work, work.changes, lease);
    const kept = base.layers.map((l, i) => ({ ...l, mediaType: ociLayerType(l.mediaType), annotations: noted[i] ?? {} }));
    const annotations = { ...base.annotations, ...work.annotations };
    const wanted = parsePlatform(base.platform);
    return await publishImage(
      { ...work, wanted },
      configFile(work, file, config, made),
      [...kept, ...(made ? [made] : [])],
      annotations,
      lease,
    );
  } finally {
    await lease.release();
  }
}

async function requireLayers({ base, context }: CommitWork): Promise<void> {
  for (const { digest, size } of base.layers)
    if (!(await hasBlob(context.layout, digest, size)))
      throw new ImageError(
        'CTR_IMAGE_NOT_FOUND',
        `the layer ${digest} of ${base.reference} is not in the store`,
        { reference: base.reference, digest },
        { hint: 'pull the image again' },
      );
}

/** The base's config as it is, with fields that we do not know. */
async function baseConfig({ base, context }: CommitWork): Promise<Record<string, unknown>> {
  const bytes = await readBlob(context.layout, base.configDigest, MAX_MANIFEST_BYTES);
  if (bytes === undefined)
    throw new ImageError('CTR_IMAGE_NOT_FOUND', `the config of ${base.reference} is not in the store`, { reference: base.reference });
  return JSON.parse(bytes.toString('utf8')) as Record<string, unknown>;
}

/** What the base's manifest says of each layer, such as the table of contents that lazy pulling reads. */
async function layerAnnotations({ base, context }: CommitWork): Promise<Readonly<Record<string, string>>[]> {
  const bytes = await readBlob(context.layout, base.digest, MAX_MANIFEST_BYTES);
  const manifest = bytes && parseDocument(bytes, undefined, `manifest of ${base.reference}`);
  if (manifest?.kind !== 'manifest')
    throw new ImageError('CTR_IMAGE_NOT_FOUND', `the manifest of ${base.reference} is not in the store`, { reference: base.reference });
  return manifest.layers.map((layer) => layer.annotations);
}

function changedConfig(base: ImageConfig, changes: ConfigChanges): ImageConfig {
  if (typeof changes === 'function') return checkConfig(changes(structuredClone(base)), 'options.config');
  const removed = Object.entries(changes).flatMap(([key, value]) => (value === null ? [key] : []));
  const merged = Object.entries({ ...base, ...changes }).filter(([key, value]) => value !== undefined && !removed.includes(key));
  return checkConfig(Object.fromEntries(merged), 'options.config');
}

/** Fields that Docker's old builder left: they speak of the container that the base was made in. */
const STALE = ['container', 'container_config', 'docker_version', 'id', 'parent'];

function configFile(work: CommitWork, file: Record<string, unknown>, config: ImageConfig, made: MadeLayer | undefined): object {
  const { base, created, author, message } = work;
  const kept = Object.entries(file).filter(([key]) => !STALE.includes(key));
  const unknown = Object.entries((file['config'] ?? {}) as object).filter(([key]) => !CONFIG_FIELDS.includes(key));
  const step = {
    created,
    ...(author === undefined ? {} : { author }),
    created_by: 'ctr commit',
    ...(message === undefined ? {} : { comment: message }),
    ...(made === undefined ? { empty_layer: true } : {}),
  };
  return {
    ...Object.fromEntries(kept),
    created,
    ...(author === undefined ? {} : { author }),
    config: { ...Object.fromEntries(unknown), ...configJson(config) },
    rootfs: { type: 'layers', diff_ids: [...base.layers.map((l) => l.diffId), ...(made ? [made.diffId] : [])] },
    history: [...(Array.isArray(file['history']) ? (file['history'] as unknown[]) : []), step],
  };
}

/** Refuses changes that are neither an object nor a function, before anything is read. */
export function checkChanges(changes: unknown, path: string): void {
  if (typeof changes === 'function' || (typeof changes === 'object' && changes !== null && !Array.isArray(changes))) {
    const odd = Object.keys(changes).find((key) => !CONFIG_FIELDS.includes(key));
    if (odd === undefined) return;
    throw new InvalidArgumentError(`${path}.${odd}`, `one of ${CONFIG_FIELDS.join(', ')}`, (changes as Record<string, unknown>)[odd]);
  }
  throw new InvalidArgumentError(path, 'an object of config fields or a function', changes);
}
