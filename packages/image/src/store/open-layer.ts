// Reads a stored layer as the tar it is, and says at the end whether it was what its names promise.

import { ImageError } from '@ctr/internal/errors';
import { throwIfAborted } from '../abort.js';
import { type Digest, Digester, splitDigest } from '../digest.js';
import type { ImageLayer } from '../image.js';
import type { UnpackLimits } from '../limits.js';
import { RATIO_FREE_BYTES } from '../limits.js';
import { decompress } from '../unpack/decompress.js';
import { digestMismatch, hasBlob, readBatches } from './blobs.js';
import type { Layout } from './layout.js';

/** The uncompressed bytes of a layer's blob. Bounded like unpacking; blob and content are verified when the last byte was read. */
export async function* openLayer(
  layout: Layout,
  layer: ImageLayer,
  limits: Required<UnpackLimits>,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  if (!(await hasBlob(layout, layer.digest, layer.size)))
    throw new ImageError(
      'CTR_IMAGE_NOT_FOUND',
      `the layer ${layer.digest} is not in the store`,
      { digest: layer.digest },
      { hint: 'pull the image again' },
    );
  const packed = new Digester(splitDigest(layer.digest).algorithm);
  const diff = new Digester(splitDigest(layer.diffId).algorithm);
  const input = hashed(readBatches(layout.blob(layer.digest)), packed);
  for await (const chunk of decompress(input)) {
    throwIfAborted(signal, `read the layer ${layer.digest}`);
    diff.update(chunk);
    const { bytes } = diff;
    if (bytes > limits.maxLayerBytes || (bytes > RATIO_FREE_BYTES && bytes > packed.bytes * limits.maxRatio))
      throw new ImageError('CTR_IMAGE_LIMIT', `the layer ${layer.digest} unpacks to more than the limits allow`, { digest: layer.digest });
    yield chunk;
  }
  check(packed, layer.digest);
  check(diff, layer.diffId);
}

async function* hashed(source: AsyncIterable<Uint8Array[]>, digester: Digester): AsyncGenerator<Uint8Array> {
  for await (const batch of source)
    for (const chunk of batch) {
      digester.update(chunk);
      yield chunk;
    }
}

function check(digester: Digester, expected: Digest): void {
  const found = digester.digest();
  if (found !== expected) throw digestMismatch('a layer of the image store was changed', expected, found);
}
