// Media types of manifests, configs and layers, OCI's and Docker's.

export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json';
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json';
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar';
export const OCI_LAYER_GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip';
export const OCI_LAYER_ZSTD = 'application/vnd.oci.image.layer.v1.tar+zstd';
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json';
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json';
export const DOCKER_LAYER_GZIP = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
export const DOCKER_CONFIG = 'application/vnd.docker.container.image.v1+json';

/** What we ask a registry for, best first. */
export const ACCEPT_MANIFESTS = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST, '*/*;q=0.1'].join(', ');

export type DocumentKind = 'index' | 'manifest';

/** The kind a media type stands for; `schema1` for the form that is refused, `undefined` for one we do not know. */
export function kindOf(mediaType: string): DocumentKind | 'schema1' | undefined {
  if (mediaType === OCI_INDEX || mediaType === DOCKER_LIST) return 'index';
  if (mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST) return 'manifest';
  if (/^application\/vnd\.docker\.distribution\.manifest\.v1\+(json|prettyjws)$/.test(mediaType)) return 'schema1';
  return undefined;
}

/** The type of a Content-Type header without its parameters, in lower case. */
export const bareType = (header: string | undefined): string => (header ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';

export const isImageConfig = (mediaType: string): boolean => mediaType === OCI_CONFIG || mediaType === DOCKER_CONFIG;

/** Layers that are tar archives; how they are compressed is read from their first bytes, so one content gives one result. */
export const isTarLayer = (mediaType: string): boolean =>
  /^application\/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?$/.test(mediaType) ||
  /^application\/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?$/.test(mediaType);

/** Layers that are fetched from where their makers offer them, and never pushed. */
export const isForeignLayer = (mediaType: string): boolean =>
  mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.') ||
  mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.');

/** Docker's name of a layer as OCI's, for a manifest of OCI; the bytes are the same. */
export function ociLayerType(mediaType: string): string {
  const [, foreign, compression] =
    /^application\/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(?:\.(gzip|zstd))?$/.exec(mediaType) ?? [];
  if (!mediaType.startsWith('application/vnd.docker.')) return mediaType;
  const packed = compression === undefined ? '' : `+${compression}`;
  return `application/vnd.oci.image.layer.${foreign === undefined ? '' : 'nondistributable.'}v1.tar${packed}`;
}
