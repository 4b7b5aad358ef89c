// Layers as encoders write them, in chunks of every size; and as attackers would (cases L-38, L-39).
import { randomBytes } from 'node:crypto';
import zlib from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { decompress, sniffCompression } from './decompress.js';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const run = (bytes: Uint8Array, size = 65_536) => collect(decompress(pieces(bytes, size)));
const text = Buffer.from('the quick brown fox '.repeat(50_000));
const invalid = { code: 'CTR_IMAGE_INVALID' };

describe('decompress', () => {
  it.each([1, 3, 4, 5, 1000, 65_536])('undoes gzip in chunks of %d', async (size) => {
    const content = size < 10 ? text.subarray(0, 5000) : text;
    expect((await run(zlib.gzipSync(content), size)).equals(content)).toBe(true);
  });

  it('passes plain bytes on, also fewer than four', async () => {
    for (const content of [text, Buffer.from('ab'), Buffer.alloc(0), Buffer.alloc(10)])
      expect((await run(content)).equals(content)).toBe(true);
  });

  it('undoes several gzip members as one', async () => {
    const members = Buffer.concat([zlib.gzipSync('a'), zlib.gzipSync(''), zlib.gzipSync('b'), zlib.gzipSync(text)]);
    for (const size of [1000, members.length])
      expect((await run(members, size)).equals(Buffer.concat([Buffer.from('ab'), text]))).toBe(true);
  });

  it('allows zeros behind gzip, as tapes have them', async () => {
    expect((await run(Buffer.concat([zlib.gzipSync(text), Buffer.alloc(4096)]))).equals(text)).toBe(true);
  });

  it.each([
    ['cut in the header', zlib.gzipSync(text).subarray(0, 6)],
    ['cut in the data', zlib.gzipSync(text).subarray(0, 900)],
    ['cut in the checksum', zlib.gzipSync(text).subarray(0, -3)],
    ['a flipped checksum', flip(zlib.gzipSync(text), zlib.gzipSync(text).length - 6)],
    ['a flipped bit', flip(zlib.gzipSync(randomBytes(5000)), 2000)],
    ['garbage behind it', Buffer.concat([zlib.gzipSync(text), Buffer.from('garbage')])],
  ])('refuses gzip with %s', async (_, bytes) => {
    await expect(run(bytes)).rejects.toMatchObject(invalid);
  });

  it('ends its source when the reader leaves, and passes the source’s errors on', async () => {
    let ended = false;
    const packed = zlib.gzipSync(randomBytes(100_000));
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) yield packed;
      } finally {
        ended = true;
      }
    }
    for await (const chunk of decompress(source())) if (chunk.length > 0) break;
    await new Promise(setImmediate);
    expect(ended).toBe(true);
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield zlib.gzipSync(text).subarray(0, 100);
      throw new Error('the network broke');
    }
    await expect(collect(decompress(broken()))).rejects.toThrow('the network broke');
  });

  it('makes nothing of an error of one before the other side has read', async () => {
    async function* broken(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(0);
      throw new Error('at once');
    }
    await expect(collect(decompress(broken()))).rejects.toThrow('at once');
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] as number) ^ 1;
  return bytes;
}

it('looks at the first bytes only', () => {
  expect(
    [[0x1f, 0x8b, 8, 0], [0x28, 0xb5, 0x2f, 0xfd], [0x5e, 0x2a, 0x4d, 0x18], [0x60, 0x2a, 0x4d, 0x18], [0x1f], [], [0, 0, 0, 0]].map((h) =>
      sniffCompression(Uint8Array.from(h)),
    ),
  ).toEqual(['gzip', 'zstd', 'zstd', 'none', 'none', 'none', 'none']);
});
