// The sinks that put layers on the disk for overlayfs, and whether they can read blobs here.
import { host, need } from '@ctr/internal/testing';
import { layerSink, pipelineDecompressors } from '@ctr/overlayfs';
import type { LayerSink } from '../../src/index.js';

host.define('native layers', {
  test: () => pipelineDecompressors().gzip !== undefined,
  cure: 'pnpm -C packages/overlayfs run build:native, on a Node that exports zlib and OpenSSL, as nodejs.org builds it',
});

export const nativeLayers = need('linux', 'native layers');

/** Only root can write `trusted.overlay.*`. */
export const userxattr = process.geteuid?.() !== 0;

/** Without waiting for the disk, as many small ones are made. */
export const NATIVE_SINKS: readonly (readonly [string, LayerSink])[] = [
  ['dir', layerSink({ userxattr, sync: false })],
  ['erofs', layerSink({ form: 'erofs', userxattr: false, sync: false })],
  ['erofs, inflated by zlib', layerSink({ form: 'erofs', userxattr: false, sync: false, gzip: 'zlib' })],
];
