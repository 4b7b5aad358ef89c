// zstd by the program that defines it, and by hand where an attack needs bytes that no program writes.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { hasNativeZstd, zstdDecompress } from './zstd.js';
import { LocalEngine, openEngine } from './zstd-engine.js';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.subarray(i, i + size);
}

type Way = 'native' | 'thread' | 'local';

async function run(bytes: Uint8Array, size = 65_536, way: Way = 'thread'): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of zstdDecompress(pieces(bytes, size), way === 'native', way === 'local' ? () => new LocalEngine() : openEngine))
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

const zstd = (input: Uint8Array, ...options: string[]): Buffer =>
  execFileSync('zstd', ['-q', '-c', ...options], { input, maxBuffer: 1 << 28 });
const hasProgram = (() => {
  try {
    return zstd(Buffer.from('x')).length > 0;
  } catch {
    return false;
  }
})();

/** Compressible and not: both block types, several blocks, repeated offsets. */
const mixed = Buffer.concat([
  Buffer.from('lorem ipsum dolor '.repeat(40_000)),
  randomBytes(300_000),
  Buffer.alloc(500_000, 7),
  Buffer.from(createHash('sha256').update('x').digest('hex')),
]);

const skippable = (bytes: Uint8Array, nibble = 0): Buffer => {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x184d2a50 + nibble, 0);
  head.writeUInt32LE(bytes.length, 4);
  return Buffer.concat([head, bytes]);
};

/** A frame by hand: header bytes after the magic number, then blocks of [last, type, size, payload]. */
const frame = (header: number[], ...blocks: [boolean, number, number, number[]][]): Buffer =>
  Buffer.concat([
    Buffer.from([0x28, 0xb5, 0x2f, 0xfd, ...header]),
    ...blocks.map(([last, type, size, payload]) => {
      const n = (size << 3) | (type << 1) | (last ? 1 : 0);
      return Buffer.from([n & 255, (n >> 8) & 255, n >> 16, ...payload]);
    }),
  ]);

/** Window of 1 KiB, one raw block. */
const hello = frame([0, 0], [true, 0, 5, [...Buffer.from('hello')]]);

describe.each<Way>([...(hasNativeZstd ? ['native' as const] : []), 'thread', 'local'])('zstdDecompress, %s', (native) => {
  describe.skipIf(!hasProgram)(hasProgram ? 'of the zstd program' : 'of the zstd program [skipped: install zstd]', () => {
    it.each([['-1'], ['-3'], ['-19'], ['--fast=5'], ['--no-check'], ['--long=27'], ['-T2', '-B524288']])(
      'undoes zstd %s',
      async (...options) => {
        expect((await run(zstd(mixed, ...options), 65_536, native)).equals(mixed)).toBe(true);
      },
    );

    it.each([1, 7, 1000, 131_072])('in chunks of %d', async (size) => {
      const content = mixed.subarray(0, size < 10 ? 20_000 : mixed.length);
      expect((await run(zstd(content), size, native)).equals(content)).toBe(true);
    });

    it('undoes many frames, skippable ones among them, in one write', async () => {
      const parts = Array.from({ length: 300 }, (_, i) => Buffer.from(`file ${i} `.repeat(i)));
      const bytes = Buffer.concat(parts.flatMap((p, i) => [zstd(p), skippable(randomBytes(i), i % 16)]));
      expect((await run(bytes, bytes.length, native)).equals(Buffer.concat(parts))).toBe(true);
    });

    it.each([5, 20, 400, -1, -4])('refuses a frame cut at %d', async (at) => {
      await expect(run(zstd(mixed.subarray(0, 900_000)).subarray(0, at), 65_536, native)).rejects.toMatchObject({
        code: 'CTR_IMAGE_INVALID',
      });
    });
  });

  it('undoes a frame made by hand', async () => {
    expect((await run(hello, 3, native)).toString()).toBe('hello');
  });

  it.each([
    ['an unknown magic number', Buffer.concat([hello, Buffer.from('junk')])],
    ['a cut magic number', Buffer.concat([hello, Buffer.from([0x28, 0xb5])])],
    ['a cut skippable frame', skippable(randomBytes(50)).subarray(0, 30)],
    ['a reserved bit', frame([8, 0], [true, 0, 0, []])],
    ['a reserved block type', frame([0, 0], [true, 3, 0, []])],
    ['a block that is too large', frame([0, 0], [true, 1, 131_073, [1]])],
    ['a dictionary', frame([1, 0, 5], [true, 0, 0, []])],
    ['random content of a compressed block', frame([0, 0x58], [true, 2, 40, [...Buffer.alloc(40, 0x5a)]])],
  ])('refuses %s', async (_, bytes) => {
    await expect(run(bytes, 65_536, native)).rejects.toMatchObject({ code: 'CTR_IMAGE_INVALID' });
  });

  it.each([
    ['a window of 2 GiB', frame([0, 21 << 3], [true, 0, 0, []])],
    ['a window of 256 MiB', frame([0, 18 << 3], [true, 0, 0, []])],
    ['a single segment of 2^62 bytes', frame([0xe0, 0, 0, 0, 0, 0, 0, 0, 0x40], [true, 0, 0, []])],
  ])('refuses %s before it costs memory', async (_, bytes) => {
    await expect(run(bytes, 65_536, native)).rejects.toMatchObject({ code: 'CTR_IMAGE_LIMIT' });
  });

  it('passes 100,000 tiny frames without holding up the event loop', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    const bytes = Buffer.concat(Array.from({ length: 100_000 }, () => skippable(new Uint8Array(0))));
    expect(await run(bytes, bytes.length, native)).toHaveLength(0);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(0);
  });
});

it('passes on what the source throws, and ends its thread', async () => {
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield hello;
    throw Object.assign(new Error('the network is gone'), { code: 'ECONNRESET' });
  }
  const reading = (async () => {
    for await (const _ of zstdDecompress(failing(), false));
  })();
  await expect(reading).rejects.toMatchObject({ code: 'ECONNRESET' });
});

it.skipIf(!hasProgram)(
  hasProgram ? 'decodes elsewhere: the event loop turns meanwhile' : 'decodes elsewhere [skipped: install zstd]',
  async () => {
    const bytes = zstd(Buffer.concat(Array.from({ length: 8 }, () => mixed)), '-3');
    const { performance: loop } = await import('node:perf_hooks');
    const before = loop.eventLoopUtilization();
    expect((await run(bytes)).length).toBe(8 * mixed.length);
    // No time is asserted, only that this thread mostly waited while the other worked.
    expect(loop.eventLoopUtilization(before).utilization).toBeLessThan(0.95);
  },
);

it('limits what frames claim together', async () => {
  // A compressed block that is not complete: the frame claims 128 MiB and gives nothing. The header is read, so each costs memory.
  const claims = frame(
    [0, 17 << 3],
    ...Array.from({ length: 9 }, (_, i) => [i === 8, 0, 131_072, [...Buffer.alloc(131_072)]] as [boolean, number, number, number[]]),
  );
  const many = Buffer.concat(Array.from({ length: 40 }, () => claims));
  const limited = run(many, 1 << 20);
  // 40 frames of 128 MiB for 47 MB of content: 5 GiB against 1 GiB + 16 times what they gave so far.
  await expect(limited).rejects.toMatchObject({ code: 'CTR_IMAGE_LIMIT' });
});
