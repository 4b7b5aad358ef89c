// Layers compressed on the pool: the blob is gzip of the archive, and the digests are theirs.
import { createHash } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import { need } from '@ctr/internal/testing';
import { describe, expect, it } from 'vitest';
import { gzipLayer } from '../src/index.js';

const n = need('linux');
const sha = (bytes: Uint8Array): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const out: Uint8Array[] = [];
  for await (const piece of stream) out.push(piece);
  return Buffer.concat(out);
}

/** Bytes that compress a little, the same each time. */
function content(size: number): Buffer {
  const out = Buffer.alloc(size);
  let x = 12_345;
  for (let i = 0; i < size; i++) {
    x = (x * 1_103_515_245 + 12_345) % 2 ** 31;
    out[i] = i % 97 < 60 ? 0x61 + (i % 7) : x >> 16;
  }
  return out;
}

describe.skipIf(!n.ok)(n.title('gzipLayer'), () => {
  it.each([
    [0, 1],
    [1, 1],
    [100_000, 512],
    [3_000_001, 700_001],
    [5_000_000, 5_000_000],
  ])('of %i bytes in pieces of %i', async (size, piece) => {
    const archive = content(size);
    const layer = gzipLayer(pieces(archive, piece));
    const blob = await collect(layer);
    expect(gunzipSync(blob).equals(archive)).toBe(true);
    expect(layer.facts()).toEqual({ diffId: sha(archive), digest: sha(blob), size: blob.length });
    expect(blob.length).toBeLessThan(Math.max(40, size * 0.95));
    expect((await collect(gzipLayer(pieces(archive, piece)))).equals(blob), 'the same again').toBe(true);
  });

  it('knows nothing before the end, and ends the source when it is left', async () => {
    let ended = false;
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield content(300_000);
      } finally {
        ended = true;
      }
    }
    const layer = gzipLayer(source());
    for await (const piece of layer) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    expect(ended).toBe(true);
    expect(() => layer.facts()).toThrow('not complete');
  });

  it('fails as its source does', async () => {
    async function* source(): AsyncGenerator<Uint8Array> {
      yield content(600_000);
      throw new Error('the disk is gone');
    }
    await expect(collect(gzipLayer(source()))).rejects.toThrow('the disk is gone');
  });
});
